"""An application and settings of gunicorn whose replies name their thread, for `test_gunicorn_ready_replies.py`."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from flask import Flask

worker_class = "gunicorn_worker.GunicornWorker"
threads = 3
keepalive = 75
control_socket_disable = True
BIG = b"x" * 30_000_000  # bytes, more than the buffers of two sockets take

app = Flask(__name__)


def of_this_thread():
    return b"main" if threading.current_thread() is threading.main_thread() else b"pool"


@app.route("/", methods=["GET", "POST"])
@app.get("/<path>")
def answer(path=""):
    return of_this_thread()


class Ready:
    """Has a reply ready for each path but two, and for one of them where the request has a key."""

    def may_be_ready(self, target):
        return target not in {"/unknown", "/keyed"}

    def ready_reply(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/fails":
            raise RuntimeError("a fault of the program")
        if path == "/other":
            return None
        if path == "/known":
            start_response("304 Not Modified", [("ETag", '"1"')])
            return []
        body = BIG if path == "/big" else of_this_thread()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]


app.extensions["front"] = Ready()
app.extensions["services"] = SimpleNamespace(heartbeat=SimpleNamespace(start=lambda: None), close=lambda: None)
