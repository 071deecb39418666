"""The wire and the command: keep-alive, odd requests, many at once, start and stop."""

import http.client
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from simulator import Simulator
from simulator.world.account_kinds import EXTRAS
from tests.simulator.caller import ACCOUNT, TOKEN, Caller

ROOT = Path(__file__).parents[2]
PROFILE = f"/graph.facebook.com/v25.0/{ACCOUNT}?access_token={TOKEN}"


@pytest.fixture
def connection(simulator):
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=5)
    yield connection
    connection.close()


def said(simulator, raw):
    address = urlsplit(simulator.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as plain:
        plain.sendall(raw)
        plain.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: plain.recv(65_536), b""))


def test_one_connection_serves_many_requests(connection):
    for _ in range(3):
        connection.request("GET", PROFILE)
        own = connection.sock
        reply = connection.getresponse()

        assert int(reply.headers["Content-Length"]) == len(reply.read())
        assert connection.sock is own is not None


def test_head_is_get_without_the_body(connection):
    connection.request("GET", PROFILE)
    body = connection.getresponse().read()
    connection.request("HEAD", PROFILE)
    reply = connection.getresponse()

    assert (reply.status, int(reply.headers["Content-Length"]), reply.read()) == (200, len(body), b"")
    connection.request("GET", PROFILE)
    assert connection.getresponse().read() == body


def test_an_unneeded_body_is_read_all_the_same(connection):
    for _ in range(2):
        connection.request("POST", "/api.modash.io/v1/anything", body=b"x" * 10_000)

        assert connection.getresponse().read().startswith(b'{"error":true')


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", b"501"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n", b"411"),
        (b"GET / HTTP/1.0\r\n\r\n", b"404"),
        (b"GET http://a/nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
    ],
)
def test_an_odd_request_is_answered_in_json_and_the_connection_ends(simulator, raw, status):
    head, _, body = said(simulator, raw).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in head
    assert body.startswith(b'{"error":')


def test_an_unknown_host_is_answered_with_the_known_ones(caller):
    reply = caller.get("/graph.example.com/me")

    assert reply.status_code == 404
    for host in ("/graph.facebook.com", "/graph.instagram.com", "/api.modash.io", "/_simulator"):
        assert host in reply.json()["error"]


def test_32_callers_at_once_get_whole_answers_and_are_all_counted(caller):
    caller.order("/calls/reset")
    accounts = caller.own("/accounts")["accounts"]

    def work(number):
        account = accounts[number % len(accounts)]
        with requests.Session() as session:
            one = Caller(caller.simulator, session)
            one.account, one.token = account["id"], account["token"]
            for _ in range(5):
                totals = one.totals("reach,views", since=1794200000, until=1794300000)
                assert kind_has_days(account, totals)
                assert one.graph(f"/{account['id']}").json() == {"id": account["id"]}
                assert one.modash("some.one").status_code == 200

    def kind_has_days(account, totals):
        return account["kind"] == "fresh" or list(totals) == ["reach", "views"]

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(32)))

    calls = caller.own("/calls")
    assert (calls["instagram"]["total"], calls["modash"]["total"]) == (320, 160)
    assert calls["charges"] == {"some.one": {"calls": 160, "milli_credits": 40_000}}


def test_many_threads_see_one_world(caller):
    caller.become("big")

    def posts_of(_):
        with requests.Session() as session:
            one = Caller(caller.simulator, session)
            one.account, one.token = caller.account, caller.token
            return one.media(limit=100, fields="id,timestamp,caption").json()["data"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(posts_of, range(16)))

    assert all(answer == answers[0] for answer in answers)


def test_accounts_are_created_on_first_use():
    begun = time.thread_time()

    simulator = Simulator(accounts=99_900)

    assert simulator.accounts.at(99_899).id.startswith("17841499899")
    assert time.thread_time() - begun < 0.2


def test_a_stopped_simulator_is_gone_and_can_be_started_again():
    simulator = Simulator(accounts=1).start()
    with requests.Session() as session:
        address = f"{simulator.url}{PROFILE}"
        assert session.get(address, timeout=5).status_code == 200

        simulator.stop()

        with pytest.raises(requests.ConnectionError):
            session.get(address, timeout=5)
        assert session.get(f"{simulator.start().url}{PROFILE}", timeout=5).status_code == 200
        simulator.stop()


def run(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_listens_and_leaves_at_once(number):
    with run("--port", "0", "--seed", "7", "--accounts", "12") as process:
        line = process.stdout.readline()
        address = line.split()[3]
        with requests.Session() as session:
            listed = session.get(f"{address}/_simulator/accounts", timeout=5).json()["accounts"]
            process.send_signal(number)

            assert process.wait(5) == 0
        assert process.stderr.read() == ""
    assert line == f"simulator listening on {address} (seed 7, 12 accounts)\n"
    assert len(listed) == 12 + len(EXTRAS)


def test_a_taken_port_is_reported_in_one_line(simulator):
    port = str(urlsplit(simulator.url).port)

    with run("--port", port) as process:
        out, err = process.communicate(timeout=10)

    assert process.returncode == 1
    assert (out, err) == ("", f"simulator: port {port} on 127.0.0.1 is taken\n")


def test_arguments_that_cannot_be_are_refused():
    with run("--accounts", "0") as process:
        _, err = process.communicate(timeout=10)

    assert process.returncode == 2
    assert "0 is not a whole number from 1 to 99900" in err
