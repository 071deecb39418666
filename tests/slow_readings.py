"""A small application and settings of gunicorn with little time for requests, for `test_gunicorn_worker.py`."""

from __future__ import annotations

from flask import Flask, request

import gunicorn_worker

gunicorn_worker.HEAD_WITHIN, gunicorn_worker.BODY_WITHIN = 1.0, 1.0

worker_class = "gunicorn_worker.GunicornWorker"
threads = 3
control_socket_disable = True
loglevel = "critical"

app = Flask(__name__)


@app.get("/")
def answer():
    return "ready"


@app.post("/")
def count():
    return str(len(request.get_data()))
