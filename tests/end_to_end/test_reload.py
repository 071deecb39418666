"""A reload under load: new workers take over, and no request fails."""

from __future__ import annotations

import http.client
import signal
import threading
import time

import pytest

SECONDS = 6.0


@pytest.fixture
def gateway(simulator, start):
    return start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})


def send_until(port, *, keep_alive, until, outcomes):
    """Request a warm reply repeatedly, on one connection or on a new one each time."""
    connection = None
    while time.monotonic() < until:
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/top-posts?time_range=7d")
            response = connection.getresponse()
            response.read()
            outcomes.append(response.status)
            if not keep_alive or response.getheader("Connection") == "close":
                connection.close()
                connection = None
        except OSError as error:
            outcomes.append(repr(error))
            connection = None
    if connection is not None:
        connection.close()


def test_a_reload_loses_no_request(gateway):
    port, until, outcomes = int(gateway.url.rpartition(":")[2]), time.monotonic() + SECONDS, []
    callers = [
        threading.Thread(
            target=send_until,
            args=(port,),
            kwargs={"keep_alive": number % 2 == 0, "until": until, "outcomes": outcomes},
        )
        for number in range(4)
    ]

    for caller in callers:
        caller.start()
    for _ in range(2):
        time.sleep(SECONDS / 4)
        gateway.popen.send_signal(signal.SIGHUP)
    for caller in callers:
        caller.join()

    assert set(outcomes) == {200}
    assert len(outcomes) > 100
