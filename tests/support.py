"""What tests share: invented credentials, processes to start, and the watch for what must not leak."""

from __future__ import annotations

import atexit
import csv
import io
import json
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from flask import Flask, Response

from commands.isolation import isolated
from commands.migrate import migrate
from commands.probe import free_port
from config import SANDBOX_CREDENTIALS, SANDBOX_TOKENS, Config
from services.access.key_text import digest_of, new_id, new_text
from services.accounts.token_encryption import TokenEncryption
from services.store.accounts import AccountRow
from services.store.api_keys import ApiKeyRow
from services.store.schema import gateway, memory
from services.store.store import Store
from tests.fork_server import ForkedProcess, ForkServer

ROOT = Path(__file__).resolve().parent.parent

TOKEN = "EAAtestTOKENthatMUSTneverLEAK0123456789"
APP_SECRET = "testAPPsecretTHATmustNEVERleak9876543210"
INSTAGRAM_APP_SECRET = "testINSTAGRAMsecretTHATmustNEVERleak24680"
MODASH_KEY = "testMODASHkeyTHATmustNEVERleak5555"
VERIFY_TOKEN = "sandbox-verify-token"  # the example of the OpenAPI document
ACCOUNT_ID = "17841400000000001"
GRAPH = "https://graph.facebook.com"
MODASH = "https://api.modash.io"

SECRETS = (
    TOKEN,
    APP_SECRET,
    INSTAGRAM_APP_SECRET,
    MODASH_KEY,
    *(SANDBOX_CREDENTIALS[name] for name in ("app_secret", "instagram_app_secret", "modash_api_key")),
    *SANDBOX_TOKENS.values(),
    "EAASANDBOXPAGETOKEN",
    "EAASIM",
    "IGAASIM",
)


# hex: of PostgreSQL. Most secrets are the same in a URL, and no text need be searched twice for one.
FORMS = {secret: {secret, quote(secret, safe=""), secret.encode().hex()} for secret in SECRETS}
API_KEY = re.compile(r"igw_[a-z2-9]{10}_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")

# The shipped MODASH_RATE is 2 calls a second: a test that makes ten calls would wait for five seconds. A test that sets
# this rate cannot notice what the shipped one costs a caller, so none about waiting times may.
UNLIMITED_MODASH_RATE = 1000.0


def settings(**changes: object) -> Config:
    """Settings of a live gateway with invented credentials, without retries and without a limit of Modash's rate."""
    values: dict[str, object] = {
        "providers": "live",
        "allow_anonymous": True,
        "app_id": "1234",
        "app_secret": APP_SECRET,
        "instagram_app_secret": INSTAGRAM_APP_SECRET,
        "webhook_verify_token": VERIFY_TOKEN,
        "access_long_lived_token": TOKEN,
        "instagram_account_id": ACCOUNT_ID,
        "page_id": "555",
        "modash_api_key": MODASH_KEY,
        "retry_budget": 0.0,
        "modash_rate": UNLIMITED_MODASH_RATE,
        "instance_path": new_instance(),
    }
    return Config(**(values | changes))


SCRATCH_IN_MEMORY, SCRATCH_NEEDS = Path("/dev/shm"), 2**30  # bytes; containers often have 64 MiB


@cache
def _scratch() -> Path:
    """The folder for stores, which goes with this process: in memory, because tests need not survive a power cut."""
    in_memory = SCRATCH_IN_MEMORY.is_dir() and shutil.disk_usage(SCRATCH_IN_MEMORY).free >= SCRATCH_NEEDS
    folder = Path(tempfile.mkdtemp(prefix="insights-", dir=SCRATCH_IN_MEMORY if in_memory else None))
    made_by = os.getpid()

    def remove() -> None:
        if os.getpid() == made_by:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


@cache
def _template() -> Path:
    """A migrated store without a row, to be copied."""
    folder = _scratch() / "template"
    migrate(Config(instance_path=str(folder)))
    for file in folder.glob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # The gateway would change it in each copy, on the disk.
    return folder


def new_instance() -> str:
    """A folder with an empty store of its own."""
    folder = Path(tempfile.mkdtemp(prefix="store-", dir=_scratch()))
    for file in _template().glob("*.db"):
        shutil.copy(file, folder)
    return str(folder)


def add_key(
    store: Store, *, scope: str = "read", accounts: Iterable[str] | None = None, **more: Any
) -> tuple[str, str]:
    """Add an API key to a store as `make key` does; return its id and its text."""
    key = new_id()
    text = new_text(key)
    seen = None if accounts is None else frozenset(accounts)
    row = {"label": "test", "digest": digest_of(text).hex(), "scope": scope, "accounts": seen, "created_at": 0.0}
    store.api_keys.add(ApiKeyRow(id=key, **(row | more)))
    return key, text


def add_account(
    store: Store, key: str, account: str, *, username: str = "bakery", token: str = "EAAbakeryTOKENofANaccount000"
) -> None:
    """Add an account to a store, with its token encrypted by a key."""
    sealed = TokenEncryption([key], learn=lambda _: None).seal(token)
    store.accounts.put(AccountRow(account, username, "facebook", "", sealed, 1.0))


def bearer(text: str) -> dict[str, str]:
    """The header that sends an API key."""
    return {"Authorization": f"Bearer {text}"}


def table_text(response: Response) -> str:
    """The text of a table without its byte order mark, which has to be there."""
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    text = response.get_data(as_text=True)
    assert text.startswith("\ufeff")
    return text[1:]


def table_rows(response: Response) -> list[dict[str, str]]:
    """The rows of a table by its head."""
    return list(csv.DictReader(io.StringIO(table_text(response), newline="")))


def forget_everything(app: Flask) -> None:
    """Empty the cache and the history of a gateway."""
    services = app.extensions["services"]
    for database, tables in zip(services.store.databases, (memory, gateway), strict=True):
        with database.read() as connection:  # Each statement on its own; there is no other user.
            # Nearly all tables are empty, and SQLAlchemy would take ten times as long to say so.
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA synchronous=OFF")
            for table in tables.tables.values():
                owner = table.c.get("account", table.c.get("source"))
                if owner is not None:
                    for (account,) in cursor.execute(f"SELECT DISTINCT {owner.name} FROM {table.name}").fetchall():
                        services.cache.forget(account)
                cursor.execute(f"DELETE FROM {table.name}")
            cursor.close()


def leaks_in(text: str) -> list[str]:
    """Name (by their first characters) the secrets and API keys that stand in a text, also encoded for a URL."""
    found = [secret[:8] for secret, written in FORMS.items() if any(form in text for form in written)]
    return found + [key[:14] for key in API_KEY.findall(text)]


def leaks_in_folder(folder: str) -> list[str]:
    """Name the secrets and API keys that stand in the files of a folder: databases, their logs and what waits there."""
    files = (file for file in Path(folder).rglob("*") if file.is_file())
    return [f"{leak} in {file.name}" for file in files for leak in leaks_in(_written_in(file))]


def _written_in(file: Path) -> str:
    """Return what is written in a file; most of a small database is zeros, and no secret has one."""
    return file.read_bytes().translate(None, b"\0").decode("latin-1")


class Watch(logging.Handler):
    """Keeps everything that is logged or replied during a test, to be searched for secrets afterwards."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []
        self.kept: list[str] = []  # the leaks in stores, which their tests remove

    def emit(self, record: logging.LogRecord) -> None:
        extras = {name: value for name, value in vars(record).items() if name not in {"exc_info", "args", "msg"}}
        self.seen.append(f"{record.getMessage()} {extras!r}")
        if record.exc_info:
            self.seen.append(logging.Formatter().formatException(record.exc_info))

    def leaks(self) -> list[str]:
        return leaks_in("\n".join(self.seen))


class NoConnections:
    """The connections to a database that is not there."""

    is_postgresql = False

    def fault(self) -> str:
        return "gone"

    def write_fault(self) -> None:
        return None

    def file_is_missing(self) -> bool:
        return False

    def close(self) -> None:
        pass


def local_session() -> requests.Session:
    """A session for this machine's programs, which no proxy of the environment stands before."""
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass
class Process:
    """A program of this project in a process of its own, with what it wrote."""

    popen: subprocess.Popen[bytes] | ForkedProcess
    url: str
    output: Path
    instance: str = ""  # the folder of a gateway's store
    session: requests.Session = field(default_factory=local_session)

    def get(self, path: str, **options: object) -> requests.Response:
        return self.session.get(f"{self.url}{path}", timeout=60, **options)

    def post(self, path: str, body: object = None) -> requests.Response:
        response = self.session.post(f"{self.url}{path}", json=body, timeout=60)
        assert response.ok, response.text
        return response

    def stop(self) -> None:
        self.session.close()
        self.popen.send_signal(signal.SIGINT)
        self.popen.wait(60)  # gunicorn itself gives a worker that missed the signal 30 seconds.


def environment(settings_: dict[str, str]) -> dict[str, str]:
    """The environment of this process with the given settings of the gateway, and no other ones."""
    return isolated(settings_)


@cache
def fork_server() -> ForkServer | None:
    """The fork server of this process, or None on a system that is not Linux."""
    return ForkServer(environment({})) if hasattr(os, "pidfd_open") else None


def start_simulator(*arguments: str, port: int | None = None) -> Process:
    port = port or free_port()
    process = _start(["simulator", "--port", str(port), *arguments], {}, f"http://127.0.0.1:{port}")
    wait_for(f"{process.url}/_simulator/clock", process)
    return process


def start_gateway(settings_: dict[str, str], *, code: Path | None = None) -> Process:
    """A gateway, forked off a process that has its code, or with the command line from a folder with code."""
    chosen = {"PORT": str(free_port()), "INSTANCE_PATH": new_instance()} | settings_
    process = _start(["gunicorn", "app:create_app()"], chosen, f"http://127.0.0.1:{chosen['PORT']}", code)
    process.instance = chosen["INSTANCE_PATH"]
    wait_for(f"{process.url}/healthz", process)
    return process


def workers_of(master: int) -> list[int]:
    """The process ids of a gateway's workers, by that of its master."""
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def start_worker(settings_: dict[str, str], module: str = "worker") -> Process:
    """A worker, which does what its module says."""
    return _start([module], settings_, "")


def _start(module: list[str], settings_: dict[str, str], url: str, code: Path | None = None) -> Process:
    output = Path(tempfile.mkstemp(prefix="insights-", suffix=".log")[1])
    chosen = environment(settings_)
    if code is None and (server := fork_server()) is not None and server.may_start(chosen, settings_):
        return Process(server.start(module[0], module[1:], environment=chosen, output=output), url, output)
    with output.open("wb") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=code or ROOT, env=chosen, stdout=file, stderr=file
        )
    return Process(popen, url, output)


def wait_until(is_so: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait until a function returns something that is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def wait_for(url: str, process: Process, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.popen.poll() is None, process.output.read_text()
        try:
            process.session.get(url, timeout=2)
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{url} does not answer: {process.output.read_text()}")


def live_settings(simulator: str, account: dict[str, str], app: dict[str, str], modash_key: str) -> dict[str, str]:
    """The environment of a live gateway whose providers are a simulator."""
    return {
        "PROVIDERS": "live",
        "ALLOW_ANONYMOUS": "true",
        "GRAPH_BASE_URL": f"{simulator}/graph.facebook.com",
        "MODASH_BASE_URL": f"{simulator}/api.modash.io",
        "APP_ID": app["id"],
        "APP_SECRET": app["secret"],
        "ACCESS_LONG_LIVED_TOKEN": account["token"],
        "INSTAGRAM_ACCOUNT_ID": account["id"],
        "MODASH_API_KEY": modash_key,
    }


def fresh_for(response: Any) -> int:
    """The seconds for which a cache keeps a reply without asking again: `max-age` less `Age` (RFC 9111)."""
    lifetime = response.headers["Cache-Control"].partition("max-age=")[2].partition(",")[0]
    return int(lifetime) - int(response.headers["Age"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def graph_error(code: int, subcode: int | None = None, message: str = "invented", **more: object) -> dict[str, object]:
    """An error envelope of the Graph API."""
    error: dict[str, object] = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "Atrace"}
    if subcode is not None:
        error["error_subcode"] = subcode
    return {"error": error | more}


def lines_of(process: Process) -> Iterator[dict[str, object]]:
    """The structured lines that a process has logged."""
    for line in process.output.read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


# What the master of gunicorn says of a worker that a test has killed; any other signal, or reason, is a fault.
KILLED = re.compile(r"Worker \(pid:\d+\) was sent SIGKILL! Perhaps out of memory\?")


def is_of_a_kill(line: dict[str, object]) -> bool:
    """Return whether a line of the log is gunicorn's own about a worker that was killed, and nothing else."""
    is_own = (line["logger"], line["level"]) == ("gunicorn.error", "error")
    return is_own and KILLED.fullmatch(str(line["message"])) is not None


def errors_of(process: Process, *, kills: int = 0) -> list[dict[str, object]]:
    """The lines of level error that a process has logged, without one for each of the workers that the test killed."""
    errors = [line for line in lines_of(process) if line["level"] == "error"]
    expected = [line for line in errors if is_of_a_kill(line)][:kills]
    return [line for line in errors if line not in expected]


def total_value(
    name: str, value: object, breakdown: Iterable[tuple[list[str], list[tuple[list[str], int]]]] = ()
) -> dict[str, object]:
    """One metric of an insights answer as the Graph API gives totals."""
    total: dict[str, object] = {} if value is None else {"value": value}
    parts = [
        {"dimension_keys": keys, "results": [{"dimension_values": values, "value": count} for values, count in results]}
        for keys, results in breakdown
    ]
    if parts:
        total["breakdowns"] = parts
    return {"name": name, "period": "day", "title": name, "description": name, "total_value": total, "id": f"1/{name}"}
