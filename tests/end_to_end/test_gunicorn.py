"""What only the production server can show: malformed requests, size limits, concurrency, a lost account id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import (
    ROOT,
    environment,
    free_port,
    leaks_in,
    lines_of,
    live_settings,
    new_instance,
    start_gateway,
    wait_until,
    workers_of,
)

SHAPE = ["error", "code", "message", "hint", "provider", "reference", "retry_after", "request_id"]


@pytest.fixture
def gateway(simulator, start):
    return start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})


@pytest.fixture(scope="module")
def refusing():
    """One gateway for all requests that never reach a provider."""
    process = start_gateway({"GUNICORN_CMD_ARGS": "--log-level info"}, code=ROOT)  # With the command line.
    yield process
    process.stop()
    text = process.output.read_text()
    assert leaks_in(text) == []
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["logger"] for line in lines} >= {"gunicorn.error", "app"}
    refused = [line for line in lines if line["message"] == "A malformed request was refused"]
    assert {line["caller"] for line in refused} <= {"127.0.0.1"}
    assert {line["code"] for line in refused} <= {"bad_request", "headers_too_large", "uri_too_long"}


def send(gateway, request):
    """Send bytes as they are and return status and body of the answer."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            head, _, body = answer.partition(b"\r\n\r\n")
            if b"content-length: %d\r\n" % len(body) in (head + b"\r\n").lower():
                break
    assert b"x-content-type-options: nosniff" in head.lower()
    return int(answer.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, "host_not_allowed"),
        (b"GET http://localhost@evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, "host_not_allowed"),
        (b"GET /healthz?x=" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "uri_too_long"),
        (b"GET /healthz?x=" + b"y" * 8_010 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "uri_too_long"),
        (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Big: " + b"y" * 20_000 + b"\r\n\r\n",
            431,
            "headers_too_large",
        ),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n", 413, "request_too_large"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET http://localhost/healthz HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, "bad_request"),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"),
        (b"DELETE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"),
    ],
    ids=[
        "foreign target",
        "target with a name",
        "far too long",
        "too long",
        "headers",
        "body",
        "nonsense",
        "no header",
        "no host",
        "host in the target only",
        "two hosts",
        "no path",
        "no method",
    ],
)
def test_every_refusal_has_the_one_shape(refusing, request_, status, code):
    answered, body = send(refusing, request_)

    assert answered == status
    assert list(body) == SHAPE
    assert (body["error"], body["code"]) == (True, code)


@pytest.mark.parametrize(
    ("request_", "code", "hint"),
    [
        (b"GET /?" + b"y" * 8_200 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", "uri_too_long", "at most 8000 characters"),
        (
            b"GET / HTTP/1.1\r\nX-Big: " + b"y" * 4_100 + b"\r\n\r\n",
            "headers_too_large",
            "at most 50 headers of 4094 bytes",
        ),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 51 + b"\r\n", "headers_too_large", "at most 50 headers of 4094 bytes"),
        (b"nonsense\r\n\r\n", "bad_request", "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n", "bad_request", "`Name: value`"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n", "bad_request", "HTTP/1.1"),
    ],
    ids=["line", "long header", "many headers", "nonsense", "no header", "encoding"],
)
def test_what_never_was_a_request_is_answered_with_what_is_accepted(refusing, request_, code, hint):
    _, body = send(refusing, request_)

    assert body["code"] == code
    assert body["hint"].startswith("Accepted: ")
    assert hint in body["hint"]


@pytest.mark.parametrize("body", [b"ZZZ\r\n", b"2\r\n{}?\r\n0\r\n\r\n", b"0\r\nNo colon\r\n\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_refused_request_with_a_malformed_body_gets_one_reply(refusing, method, body):
    host, port = refusing.url.removeprefix("http://").split(":")
    head = b" /webhooks/instagram HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(method + head + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_wrong_settings_are_listed_without_a_traceback():
    wrong = environment({"PROVIDERS": "live", "PORT": "eighty", "LOG_LEVEL": "LOUD"})

    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "app:create_app()"],
        cwd=ROOT,
        env=wrong,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    first, *faults = ended.stderr.splitlines()
    assert (ended.returncode, first) == (1, "The gateway cannot start:")
    assert [fault.split()[1] for fault in faults] == ["PORT", "ACCESS_LONG_LIVED_TOKEN", "LOG_LEVEL"]


def test_a_name_in_the_settings_file_that_is_no_setting_is_reported_once(simulator, start, tmp_path):
    (tmp_path / "settings").write_text(f"SIMULATOR_PORT={simulator.url.rpartition(':')[2]}\nNGINX_PORT=80\n")

    gateway = start({"ENV_FILE": str(tmp_path / "settings")})

    assert gateway.get("/top-posts?time_range=7d").status_code == 200
    warning = "NGINX_PORT in the settings file is not a setting of the gateway. It has no effect."
    assert gateway.output.read_text().count(warning) == 1


def test_callers_at_once_each_get_their_own_answer(gateway):
    paths = [f"/top-posts?time_range={days}d&limit={limit}" for days in range(1, 31) for limit in (1, 2)]

    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda path: gateway.session.get(f"{gateway.url}{path}", timeout=60), paths))

    assert {answer.status_code for answer in answers} == {200}
    for path, answer in zip(paths, answers, strict=True):
        assert len(answer.json()["top_posts"]) <= int(path[-1])
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(paths)


def test_the_account_is_found_from_its_page(simulator, start):
    listed = simulator.get("/_simulator/accounts").json()
    account = listed["accounts"][5]
    live = live_settings(simulator.url, account, listed["app"], listed["modash"]["key"])
    gateway = start(live | {"INSTAGRAM_ACCOUNT_ID": "", "PAGE_ID": account["page_id"]})

    by_default = gateway.get("/top-posts?time_range=7d")
    by_name = gateway.get(f"/top-posts?time_range=7d&account={account['username']}")
    another = gateway.get(f"/top-posts?time_range=7d&account={listed['accounts'][6]['username']}")

    assert by_default.json()["meta"]["account"] == account["id"]
    assert "X-Insights-Sandbox" not in by_default.headers
    assert by_default.json()["meta"]["source"] == "instagram"
    assert by_name.json()["meta"]["account"] == account["id"]
    assert (another.status_code, another.json()["code"]) == (404, "account_unknown")


def test_a_request_leaves_one_log_line_with_what_it_cost(gateway):
    answer = gateway.get("/growth-trends?period=7d", headers={"X-Request-Id": "mine-1234"})

    gateway.stop()  # The line is written when the answer has been sent, so perhaps after it was read here.
    [line] = [line for line in lines_of(gateway) if line.get("request_id") == "mine-1234"]
    assert answer.headers["X-Request-Id"] == "mine-1234"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/growth-trends", 200)
    assert line["bytes"] == len(answer.content)
    assert line["provider_calls"] == int(answer.headers["X-Provider-Calls"]) == 2
    assert line["milliseconds"] > 0


def test_another_origin_is_let_in_only_if_it_is_listed(simulator, start):
    gateway = start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2], "CORS_ORIGINS": "https://dashboard.example"})
    listed, unlisted = {"Origin": "https://dashboard.example"}, {"Origin": "https://elsewhere.example"}

    allowed = gateway.get("/healthz", headers=listed)
    refused = gateway.get("/healthz", headers=unlisted)
    preflight = gateway.session.options(
        f"{gateway.url}/top-posts", headers=listed | {"Access-Control-Request-Method": "GET"}, timeout=10
    )

    assert allowed.headers["Access-Control-Allow-Origin"] == "https://dashboard.example"
    assert "X-Request-Id" in allowed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert preflight.status_code == 204
    assert "GET" in preflight.headers["Access-Control-Allow-Methods"]


def test_the_port_of_a_running_gateway_is_refused(gateway, simulator):
    ports = {"PORT": gateway.url.rpartition(":")[2], "SIMULATOR_PORT": simulator.url.rpartition(":")[2]}
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "app:create_app()"],
        cwd=ROOT,
        env=environment(ports | {"INSTANCE_PATH": new_instance()}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert f"Port {ports['PORT']} is taken" in ended.stderr
    assert gateway.get("/healthz").status_code == 200


STOPPED_DURING_A_FORK = """
import os
import signal
import time

exec(compile(open("gunicorn.conf.py").read(), "gunicorn.conf.py", "exec"))
prepare = post_fork


def post_fork(server, worker):
    if worker.age == 2:
        os.kill(worker.ppid, signal.{signal})
        time.sleep(1)  # The master passes it on.
    prepare(server, worker)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_to_stop_before_it_has_handlers_stops(tmp_path, number):
    settings_file = tmp_path / "settings.py"
    settings_file.write_text(STOPPED_DURING_A_FORK.format(signal=number.name))
    settings = {"PROVIDERS": "sandbox", "PORT": str(free_port()), "INSTANCE_PATH": new_instance()}
    command = [sys.executable, "-m", "gunicorn", "-c", str(settings_file), "app:create_app()"]
    began = time.monotonic()

    ended = subprocess.run(command, cwd=ROOT, env=environment(settings), capture_output=True, timeout=120, check=False)

    assert ended.returncode == 0, ended.stderr.decode()
    assert time.monotonic() - began < 55, ended.stderr.decode()  # The graceful timeout alone is longer.
    assert b"SIGKILL" not in ended.stderr


def cores_of_workers(gateway):
    return sorted(sorted(os.sched_getaffinity(pid)) for pid in workers_of(gateway.popen.pid))


@pytest.fixture
def two_cores():
    """The cores to which this test, and what it starts, keeps: as on a small machine."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usable)[:2])
    yield sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, usable)


def test_each_worker_keeps_to_a_core_of_its_own_also_one_that_replaces_another(two_cores, simulator, start):
    gateway = start({"SIMULATOR_PORT": simulator.url.rpartition(":")[2]}, code=ROOT)
    one_each = [[core] for core in (two_cores if len(two_cores) == 2 else two_cores * 2)]
    wait_until(lambda: cores_of_workers(gateway) == one_each, seconds=60)

    for killed in workers_of(gateway.popen.pid):
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda gone=killed: gone not in workers_of(gateway.popen.pid), seconds=60)
        wait_until(lambda: cores_of_workers(gateway) == one_each, seconds=60)

    assert gateway.get("/healthz").status_code == 200
