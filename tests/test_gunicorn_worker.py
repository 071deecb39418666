"""A socket that is about to close takes no new connection, so that none is reset."""

from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from gunicorn_worker import ignore_new_connections

CALLERS = 24


def listen(port=0):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def call(port, answers):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"?")
            answers.append(connection.recv(1))
    except OSError as error:
        answers.append(repr(error))


def answer(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # It was shut down.
            return
        with connection:
            connection.recv(1)
            connection.sendall(b"!")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
def test_connections_that_come_while_a_worker_stops_reach_its_successor():
    old, answers = listen(), []
    port = old.getsockname()[1]
    new = listen(port)
    successor = threading.Thread(target=answer, args=(new,))
    callers = [threading.Thread(target=call, args=(port, answers)) for _ in range(CALLERS)]

    ignore_new_connections(old)
    successor.start()
    for caller in callers:
        caller.start()
    time.sleep(0.1)  # Half of them have met the new socket; the others' kernels try again after a second.
    old.close()
    for caller in callers:
        caller.join()

    new.shutdown(socket.SHUT_RDWR)
    successor.join()
    new.close()
    assert answers == [b"!"] * CALLERS
