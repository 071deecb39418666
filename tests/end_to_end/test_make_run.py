"""The first commands in a clone: `make run`, a curl, Ctrl-C; `make doctor`, `make account`, `make bench`."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from commands.migrate import migrate
from config import Config
from services.accounts.token_encryption import TokenEncryption
from services.store.accounts import AccountRow
from services.store.store import Store
from services.wiring.provider_clients import graceful_timeout
from tests.stores import query
from tests.support import ROOT, add_key, environment, free_port, live_settings, local_session, new_instance


@pytest.fixture
def run():
    """Run the command in a session of its own, as a terminal does, and end whatever is left of it."""
    started = []

    def start(settings):
        process = subprocess.Popen(
            [sys.executable, "-m", "commands.run"],
            cwd=ROOT,
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def ports():
    return {"PORT": str(free_port()), "SIMULATOR_PORT": str(free_port())}


def read_until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def members_of(group):
    """The processes of a group that are still alive."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            alive.append(stat.parent.name)
    return alive


@pytest.mark.parametrize("number", [signal.SIGINT] * 4 + [signal.SIGTERM, signal.SIGHUP])  # Four for the race.
def test_both_ports_move_and_nothing_is_left_running(run, number):
    chosen = ports()
    process = run(chosen)
    shown = read_until(process, "/performance-data")

    with local_session() as session:
        answer = session.get(f"http://127.0.0.1:{chosen['PORT']}/growth-trends?period=7d", timeout=30)
        accounts = session.get(f"http://127.0.0.1:{chosen['SIMULATOR_PORT']}/_simulator/accounts", timeout=30)
    os.killpg(process.pid, number)
    code = process.wait(100)
    rest = process.stdout.read()

    assert f"curl 'http://127.0.0.1:{chosen['PORT']}/account-insights" in shown
    assert (answer.status_code, answer.headers["X-Insights-Sandbox"]) == (200, "true")
    assert accounts.ok
    assert code == 0
    assert "Stopping ..." in rest
    assert "Traceback" not in rest
    deadline = time.monotonic() + 5
    while members_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members_of(process.pid) == []


@pytest.fixture
def buying(run, tmp_path):
    """Start everything, and a request for a report whose call takes some seconds."""
    requests = []

    def start(seconds):
        chosen = ports() | {"INSTANCE_PATH": str(tmp_path), "READ_TIMEOUT": "60"}
        process = run(chosen)
        read_until(process, "/performance-data")
        fault = {"provider": "modash", "kind": "slow", "delay_seconds": seconds}
        answers = []

        def buy():
            with local_session() as session, suppress(OSError):
                url = f"http://127.0.0.1:{chosen['PORT']}/performance-data?url=nasa"
                answers.append(session.get(url, timeout=120).status_code)

        with local_session() as session:
            session.post(f"http://127.0.0.1:{chosen['SIMULATOR_PORT']}/_simulator/faults", json=fault, timeout=30)
        requests.append(threading.Thread(target=buy))
        requests[-1].start()
        deadline = time.monotonic() + 60
        while query({"INSTANCE_PATH": str(tmp_path)}, "gateway", "SELECT state FROM ledger") != [("open",)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process, requests[-1], answers

    yield start
    for request in requests:
        request.join(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_lets_a_call_that_may_be_charged_come_to_its_end(buying, tmp_path, number):
    process, request, answers = buying(15)

    os.killpg(process.pid, number)
    code = process.wait(100)
    request.join(60)
    rest = process.stdout.read()

    assert (code, answers) == (0, [200])
    assert query({"INSTANCE_PATH": str(tmp_path)}, "gateway", "SELECT state FROM ledger") == [("charged",)]
    assert "Waiting for the gateway" in rest
    assert f", {graceful_timeout(Config(read_timeout=60.0))} seconds at most" in rest
    assert members_of(process.pid) == []


def test_a_second_ctrl_c_ends_all_at_once(buying):
    process, _, answers = buying(60)

    os.killpg(process.pid, signal.SIGINT)
    read_until(process, "Ctrl-C again ends all at once.")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(100)

    assert code == 0
    assert set(answers) <= {503}  # The simulator may end before the gateway that waits for its answer.
    assert time.monotonic() - began < 40  # The call alone takes longer.
    assert "Traceback" not in process.stdout.read()
    assert members_of(process.pid) == []


@pytest.mark.parametrize("processes", [2, 4], ids=["while it migrates", "while the gateway starts"])
def test_ctrl_c_during_the_start_ends_all_without_a_traceback(run, processes):
    process = run(ports())
    deadline = time.monotonic() + 60
    while len(members_of(process.pid)) < processes:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(60)
    written = process.stdout.read()

    assert (code, members_of(process.pid)) == (0, [])
    assert "Stopping ...\n" in written  # After it there may be lines of a worker that had begun.
    assert "Traceback" not in written


def test_a_worker_runs_beside_the_gateway(run, tmp_path):
    host = "::1" if has_ipv6() else "127.0.0.1"
    chosen = ports() | {"INSTANCE_PATH": str(tmp_path), "HOST": host}
    url = f"http://{f'[{host}]' if ':' in host else host}:{chosen['PORT']}"
    process = run(chosen)
    shown = read_until(process, "/performance-data")
    assert f"curl '{url}/account-insights" in shown

    deadline = time.monotonic() + 30
    with local_session() as session:
        while session.get(f"{url}/readyz", timeout=30).json()["worker"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.1)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


FOREIGN = {"192.0.2.7": "is not an address of this machine", "no-such-name.invalid": "is no address or known name"}


@pytest.mark.parametrize("program", [["-m", "commands.run"], ["-m", "gunicorn", "app:create_app()"]])
@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_address_is_not_called_a_taken_port(tmp_path, program, host):
    settings = ports() | {"HOST": host, "INSTANCE_PATH": new_instance()}

    ended = subprocess.run(
        [sys.executable, *program], cwd=ROOT, env=environment(settings), capture_output=True, text=True, check=False
    )

    assert ended.returncode == (2 if "commands.run" in program else 1)
    assert f"HOST is {host}, which {FOREIGN[host]}." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "taken" not in ended.stderr


def test_gunicorn_refuses_a_port_that_another_program_has(simulator_process):
    settings = {"PORT": simulator_process.url.rpartition(":")[2], "INSTANCE_PATH": new_instance()}

    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "app:create_app()"],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert f"Port {settings['PORT']} is taken. Choose another: PORT=" in ended.stderr


def sit_at_terminal(terminal):
    """Give a new process a terminal, where Ctrl-C counts also if the tests were started in the background."""
    os.login_tty(terminal)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("key", "status", "words"), [("\x03", 130, "Stopped."), ("\x04", 2, "The input has ended; nothing was done.")]
)
def test_a_prompt_is_left_without_a_traceback(key, status, words):
    settings = {"TOKEN_KEY": Fernet.generate_key().decode(), "INSTANCE_PATH": new_instance(), "PROVIDERS": "live"}
    terminal, child_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "commands.account", "add", "--login", "instagram"],
        cwd=ROOT,
        env=environment(settings),
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
        preexec_fn=partial(sit_at_terminal, child_end),  # noqa: PLW1509 - Only so Ctrl-C is a signal.
    )
    os.close(child_end)
    shown = ""
    while "Token (not shown): " not in shown:
        shown += os.read(terminal, 1000).decode()
    os.write(terminal, key.encode())
    with suppress(OSError):  # So a terminal ends.
        while part := os.read(terminal, 1000).decode():
            shown += part
    os.close(terminal)

    assert process.wait(30) == status
    assert words in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(("error", "status"), [("KeyboardInterrupt", 130), ("EOFError", 2)])
def test_a_command_that_is_interrupted_ends_without_a_traceback(error, status):
    ended = subprocess.run(
        [sys.executable, "-c", f"import commands; raise {error}"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == status
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("place", ["environment", "file"])
def test_the_simulator_listens_on_the_port_of_the_settings(tmp_path, place):
    port = str(free_port())
    file = tmp_path / "settings"
    file.write_text(f'SIMULATOR_PORT="{port}"\n' if place == "file" else "SIMULATOR_PORT=1\n")
    settings = {"ENV_FILE": str(file)} | ({"SIMULATOR_PORT": port} if place == "environment" else {})

    with subprocess.Popen(
        [sys.executable, "-m", "simulator"], cwd=ROOT, env=environment(settings), stdout=subprocess.PIPE, text=True
    ) as process:
        shown = process.stdout.readline()
        process.terminate()

    assert f"simulator listening on http://127.0.0.1:{port} " in shown


def test_a_taken_port_is_named(run, simulator_process):
    taken = simulator_process.url.rpartition(":")[2]

    process = run(ports() | {"PORT": taken})
    shown = process.stdout.read()

    assert process.wait(20) == 2
    assert f"Port {taken} is taken. Choose another: PORT=" in shown


def test_wrong_settings_are_all_named_before_anything_starts(run):
    process = run({"PROVIDERS": "live", "GRAPH_API_VERSION": "25", "PROVIDER_PARALLEL": "0"})
    shown = process.stdout.read()

    assert process.wait(20) == 2
    for name in ["ACCESS_LONG_LIVED_TOKEN", "MODASH_API_KEY", "GRAPH_API_VERSION", "PROVIDER_PARALLEL"]:
        assert name in shown


def test_a_gateway_with_one_provider_says_so(run):
    process = run(ports() | {"MODASH_API_KEY": "invented-key", "ALLOW_ANONYMOUS": "true"})

    shown = read_until(process, "/performance-data")

    assert "Instagram is not configured (ACCESS_LONG_LIVED_TOKEN is empty)." in shown
    assert "/account-insights" not in shown
    assert "/accounts'\n" in shown  # A call that costs nothing comes before the one that does.
    assert "costs 0.25 Modash credits" in shown.splitlines()[-1]


@pytest.mark.parametrize("number", [1, 2])
def test_with_added_accounts_only_the_printed_calls_are_answered_with_a_key(run, tmp_path, simulator, number):
    listed = simulator.get("/_simulator/accounts").json()
    added = listed["accounts"][:number]
    live = live_settings(simulator.url, {"token": "", "id": ""}, listed["app"], "")
    token_key = Fernet.generate_key().decode()
    own = ports() | {"INSTANCE_PATH": str(tmp_path), "ALLOW_ANONYMOUS": "false", "TOKEN_KEY": token_key}
    config = Config.from_env(live | own)
    migrate(config)
    with closing(Store.open(config.database_url, config.instance_path, mode=config.providers)) as store:
        _, key = add_key(store)
        encryption = TokenEncryption([token_key], learn=lambda _: None)
        for at, each in enumerate(added):
            sealed = encryption.seal(each["token"])
            row = AccountRow(each["id"], each["username"], "facebook", each["page_id"], sealed, float(at))
            store.accounts.put(row)

    process = run(live | own)
    shown = read_until(process, "/growth-trends")

    assert "Modash is not configured (MODASH_API_KEY is empty)." in shown
    assert "Instagram is not configured" not in shown
    calls = [line.strip() for line in shown.splitlines() if line.strip().startswith("curl")]
    assert len(calls) == 2
    for call in calls:
        assert ("&account=" + added[0]["id"] in call) == (number > 1)
        said = subprocess.run(
            ["bash", "-c", call.replace("curl", "curl --silent --fail", 1)],
            env=os.environ | {"KEY": key, "NO_PROXY": "*"},
            capture_output=True,
            check=False,
        )
        assert said.returncode == 0, (call, said)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_what_it_can_do():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for target in ["install", "run", "test", "check", "doctor"]:
        assert f"make {target}" in shown


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["bench"], "-m benchmarks"),
        (["bench", "--", "--quick"], "-m benchmarks --quick"),
        (["bench", "--", "cold", "warm", "--json", "out.json"], "-m benchmarks cold warm --json out.json"),
        (["bench", "ARGS=--quick"], "-m benchmarks --quick"),
    ],
)
def test_make_bench_passes_its_arguments_on(arguments, command):
    shown = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)

    commands = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert [line.partition(" ")[2] for line in commands if "-m benchmarks" in line] == [command]
    assert shown.stderr == ""


@pytest.fixture
def fresh(tmp_path):
    """A copy of the checkout in which nothing was ever run, with the same virtual environment, but compiled already."""
    copy = tmp_path / "clone"
    half_written = "*.pyc.*"
    ignored = shutil.ignore_patterns(".git", ".venv", ".env", "instance", "tests", half_written, ".*_cache")
    shutil.copytree(ROOT, copy, ignore=ignored)
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


def make(checkout, *arguments, **settings):
    """Run a target of the Makefile as from a shell; the rules of installing are taken for done."""
    return subprocess.run(
        ["make", "-o", ".venv/run.stamp", *arguments],
        cwd=checkout,
        env=environment(settings),
        input="IGAAinvented0123456789\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_doctor_is_the_first_command_in_a_fresh_clone(fresh):
    shown = make(fresh, "doctor", SIMULATOR_PORT=str(free_port()))

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "ok   settings: " in shown.stdout
    assert f"ok   store: {fresh / 'instance'}" in shown.stdout
    assert "-    simulator: not running" in shown.stdout
    assert "next: Start it with `make run`" in shown.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_arguments_of_the_make_that_runs_the_tests_reach_no_other_one(fresh, monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=--collect-only")  # as below `make test ARGS=--collect-only`
    monkeypatch.setenv("ARGS", "--collect-only")

    shown = make(fresh, "doctor", SIMULATOR_PORT=str(free_port()))

    assert shown.returncode == 0, shown.stdout + shown.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_doctor_checks_live_settings_in_a_fresh_clone(fresh, simulator):
    listed = simulator.get("/_simulator/accounts").json()
    live = live_settings(simulator.url, listed["accounts"][0], listed["app"], listed["modash"]["key"])

    shown = make(fresh, "doctor", **live)

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "ok   token: " in shown.stdout
    assert "ok   Modash key: " in shown.stdout
    assert "ok   API keys: 0 valid; requests without a key are answered too" in shown.stdout
    refused = make(fresh, "doctor", **live | {"ALLOW_ANONYMOUS": "false"})
    assert (refused.returncode, "FAIL API keys: There is no valid API key" in refused.stdout) == (2, True)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_an_account_can_be_listed_first_of_all_in_a_fresh_clone(fresh):
    shown = make(fresh, "account", "ARGS=list")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == "0 added in sandbox mode. The account of .env is not listed.\n"


def test_the_doctor_reports_a_store_that_cannot_be_created(tmp_path):
    (tmp_path / "file").touch()

    shown = subprocess.run(
        [sys.executable, "-m", "commands.doctor"],
        cwd=ROOT,
        env=environment({"INSTANCE_PATH": str(tmp_path / "file")}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (shown.returncode, shown.stderr) == (1, "")
    assert "FAIL store: The store cannot be created: " in shown.stdout
    assert f"next: Check the folder {tmp_path / 'file'}." in shown.stdout


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_the_doctor_finds_all_well_in_a_sandbox(simulator, tmp_path, login):
    shown = subprocess.run(
        [sys.executable, "-m", "commands.doctor"],
        cwd=ROOT,
        env=environment(
            {"INSTANCE_PATH": str(tmp_path), "SIMULATOR_PORT": simulator.url.rpartition(":")[2], "GRAPH_LOGIN": login}
        ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr
    for name in ["settings", "token", "account link", "insights", "version", "Modash key"]:
        assert f"ok   {name}: " in shown.stdout


def test_the_doctor_shows_the_next_step_of_an_expired_token(simulator, tmp_path):
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "token", "subcode": 463})

    shown = subprocess.run(
        [sys.executable, "-m", "commands.doctor"],
        cwd=ROOT,
        env=environment({"INSTANCE_PATH": str(tmp_path), "SIMULATOR_PORT": simulator.url.rpartition(":")[2]}),
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    assert "FAIL token: The Instagram token has expired." in shown
    assert "make a new long-lived token" in shown
    assert "ok   Modash key" in shown
