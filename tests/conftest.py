"""Fixtures of the whole suite: no network but this machine's, nothing that leaks, and the programs to test."""

from __future__ import annotations

import gc
import importlib
import io
import logging
import os
import shutil
import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import wraps
from ipaddress import ip_address
from itertools import islice

import hypothesis
import pytest
import responses
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

import config as settings_module
import logs
from app import create_app
from commands.isolation import isolate_this_process
from config import Config
from routes import documentation
from services.cache.cache import Cache
from services.store.store import Store
from tests.movable_clock import MovableClock
from tests.stores import ENGINES, new_store
from tests.support import ROOT, Watch, leaks_in_folder, new_instance, settings, start_gateway, start_simulator, utc

pytest_plugins = ["tests.world"]

# Before any test: neither this process nor a program that a test starts sees the developer's settings or credentials.
isolate_this_process()

# To compile this project is a third of the start of each program, and two thirds of the collection of the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

GC_THRESHOLDS = (20_000, 10, 10)  # objects; then collections of the younger generation

LOG_LEVEL = logging.WARNING  # at the beginning of each test, the default of Python

LONGEST = (  # files with tests of ten seconds and more, the longest first
    *("test_matrix", "test_paid_once", "test_reload", "test_readme", "test_developers_credentials", "test_kills"),
    *("test_many_accounts", "test_stampede", "test_webhooks", "test_rate_limiter", "test_going_live", "test_worker"),
    *("test_late_settlements", "test_truth", "test_cache_of_processes"),
)

AT_ONCE = 8  # applications of one test; each has threads of its own, and the oldest ends where there are more

# Machines that are busy with something else are slow, not wrong.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

# werkzeug parses each route and compiles two functions for it, which is half the cost of an application. Routes of the
# same text differ by these alone.
_compile, _compiled_rules = Rule.compile, {}


def _compile_once(rule):
    key = rule.rule, repr(rule.defaults), rule.subdomain, rule.host, rule.merge_slashes, *rule.map.converters.items()
    if key not in _compiled_rules:
        _compile(rule)
        builders = rule._build.__func__, rule._build_unknown.__func__
        _compiled_rules[key] = rule._parts, rule._trace, rule._converters, builders
        return
    rule._parts, rule._trace, rule._converters, builders = _compiled_rules[key]
    rule.arguments |= rule._converters.keys()
    rule._build, rule._build_unknown = (builder.__get__(rule, None) for builder in builders)


Rule.compile = _compile_once

# Schemas are most of the work for an OpenAPI document, of which each application makes its own. They go by the type.
_schema_of, _schemas = documentation._schema, {}


@wraps(_schema_of)
def _known_schema(type_, schemas):
    if type_ not in _schemas:
        within = {}
        _schemas[type_] = _schema_of(type_, within), within
    schema, within = _schemas[type_]
    schemas |= within
    return deepcopy(schema)


documentation._schema = _known_schema


# Each engine of SQLAlchemy compiles each statement by itself, a quarter of the time of a test. Engines of files have
# the same options in all tests, so they share compiled statements.
_new_engine, _compiled = Engine.__init__, LRUCache(5_000)


def _engine_with_shared_statements(engine, *arguments, **options):
    _new_engine(engine, *arguments, **options)
    if isinstance(engine.dialect, SQLiteDialect):
        engine._compiled_cache = _compiled


Engine.__init__ = _engine_with_shared_statements
SQLiteDialect.__eq__ = lambda one, other: type(one) is type(other)
SQLiteDialect.__hash__ = lambda dialect: hash(type(dialect))


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch):
    """Refuse every connection beyond the loopback interface."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6} and not ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def no_settings_file(monkeypatch):
    """Fail a test in which this process would read the developer's `.env`, whether or not there is one."""
    read = settings_module.dotenv_values

    def guarded(path, **options):
        if path == ROOT / ".env":
            raise AssertionError("a test tried to read .env; see commands/isolation.py")
        return read(path, **options)

    monkeypatch.setattr(settings_module, "dotenv_values", guarded)


@pytest.fixture(autouse=True)
def watch():
    """Fail a test in which a secret was logged, replied or kept in the clear."""
    watch = Watch()
    root = logging.getLogger()
    # An application of a whole module changes the level before this, and a command silences the process it ends with.
    root.setLevel(LOG_LEVEL)
    logging.disable(logging.NOTSET)
    root.addHandler(watch)
    yield watch
    root.removeHandler(watch)
    for handler in list(root.handlers):
        if isinstance(handler.formatter, logs.JsonFormatter):
            root.removeHandler(handler)
    assert watch.leaks() == []
    assert watch.kept == []


@pytest.fixture
def make_client(watch):
    """Build an application from settings and return its client, whose replies are watched."""

    made = []

    def end(app):
        app.extensions["services"].close()
        folder = app.extensions["config"].instance_path
        watch.kept += leaks_in_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def make(config=None, **options):
        config = config or settings()
        if config.instance_path == str(ROOT / Config.instance_path):
            object.__setattr__(config, "instance_path", new_instance())
        app = create_app(config, **options)
        if isinstance(options.get("clock"), MovableClock):
            # The ledger goes by the clock of PostgreSQL, which no test can move.
            app.extensions["services"].store.clock.is_shared = False
        made.append(app)
        while len(made) > AT_ONCE:
            end(made.pop(0))

        class WatchedClient(FlaskClient):
            def open(self, *args, **kwargs):
                response = super().open(*args, **kwargs)
                watch.seen.append(f"{response.headers}{response.get_data(as_text=True)}")
                return response

        app.test_client_class = WatchedClient
        return app.test_client()

    yield make
    for app in made:
        end(app)


@pytest.fixture
def clock():
    """A clock that stands still until a test moves it."""
    return MovableClock(utc("2026-06-15T18:00:00"))


@pytest.fixture
def client(make_client, clock):
    return make_client(clock=clock)


@pytest.fixture
def wire():
    """The providers' side of the wire: each planned answer must be requested, and no other one may be."""
    with responses.RequestsMock() as wire:
        yield wire


@pytest.fixture(params=ENGINES)
def store_settings(request):
    """The settings of a new, migrated store: two files, then PostgreSQL."""
    with new_store(request.param) as settings_:
        yield settings_


@pytest.fixture
def store(store_settings):
    """A new store, open in this process."""
    store = Store.open(store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", ""), mode="live")
    for database in store.databases:
        database.clock = MovableClock(
            utc("2100-01-01T00:00")
        )  # No time of a test lies ahead, unless it sets the clock.
    yield store
    store.close()


@pytest.fixture
def statements():
    """The SQL of this thread, which serves the requests; other threads look for changes every second."""
    sent, mine = [], threading.get_ident()

    def note(_connection, _cursor, statement, *_):
        if threading.get_ident() == mine:
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def make_cache(store, clock):
    """Caches of several processes over one store."""
    made = []

    def make(*, may_refresh=True, redact=str, on_use=lambda: None):
        cache = Cache(
            store.cache_entries,
            store.leases,
            clock,
            may_refresh=lambda _account: may_refresh,
            redact=redact,
            on_use=on_use,
        )
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def cache(make_cache):
    """A cache without an application."""
    return make_cache()


@pytest.fixture
def no_thread(monkeypatch):
    """Within a block, let the system have no thread left, as under a limit of processes."""

    def start(_thread):
        raise RuntimeError("can't start new thread")

    @contextmanager
    def block():
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            yield

    return block


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Run a command with a configuration, and with what is typed; return what it ended with, wrote and said."""

    def run(command, config, *arguments, typed=""):
        with monkeypatch.context() as patched:
            patched.setattr(Config, "from_env", lambda: config)
            patched.setattr("sys.stdin", io.StringIO(typed))
            ended = command.main(arguments)
        sys.stdout.flush()
        said = capsys.readouterr()
        return ended, said.out, said.err

    return run


@pytest.fixture(scope="session")
def simulator_process():
    process = start_simulator("--seed", "7", "--started", "2026-11-21")
    yield process
    process.stop()


@pytest.fixture
def simulator(simulator_process):
    """The simulator as a process of its own, everything as at its start."""
    simulator_process.post("/_simulator/reset")
    yield simulator_process
    simulator_process.post("/_simulator/reset")


@pytest.fixture
def start(watch):
    """Start gateways as processes; what they wrote is watched."""
    started = []

    def start_one(settings_, **options):
        process = start_gateway(settings_, **options)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.stop()
        watch.seen.append(process.output.read_text())
        watch.kept += leaks_in_folder(process.instance)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Begin the import of the tests with another part in each process.

    In a clean checkout each process would compile each file, for all begin at the same time and with the same file;
    that takes twice as long as the rest of the collection. What another one has compiled is only loaded.
    """
    config = session.config
    if not hasattr(config, "workerinput") or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    number = int(config.workerinput["workerid"].removeprefix("gw"))
    for name in part_of_modules(number, config.workerinput["workercount"]):
        with suppress(Exception):  # The collection imports it again, and reports what is wrong with it.
            importlib.import_module(name)


def part_of_modules(number, processes):
    """Return the names of the modules with tests whose import one of the processes begins with."""
    files = sorted(file.relative_to(ROOT) for file in (ROOT / "tests").rglob("test_*.py"))
    return [".".join(file.with_suffix("").parts) for file in files[number::processes]]


def pytest_collection_modifyitems(items):
    """Begin with the long tests in every second process; in CI nothing may be skipped, or a service is missing.

    They wait for other programs half of the time, in which the short tests of the other processes keep the cores busy.
    The longest come first, so that none is left for the end, when other cores have nothing to do.
    """
    items[:] = in_order(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    if os.environ.get("CI") == "true":
        for item in items:
            item.add_marker(pytest.mark.no_skip)


def in_order(items, processes):
    """Return the tests in the order in which pytest-xdist deals them out: one part after the other, of equal size."""
    parts = max(1, processes // 2)  # each for two processes, of which the first gets the long tests
    long = [item for item in items if ROOT / "tests" / "end_to_end" in item.path.parents]
    long.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    short = iter([item for item in items if ROOT / "tests" / "end_to_end" not in item.path.parents])
    ends = [len(items) * part // parts for part in range(parts + 1)]
    ordered = []
    for part in range(parts):
        ordered += long[part::parts]
        ordered += islice(short, max(0, ends[part + 1] - len(ordered)))
    return ordered


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.get_closest_marker("no_skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture
def in_new_york(monkeypatch):
    """The machine's own zone is another one than UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def pytest_collection_finish():
    """Let the garbage collector look at what tests make, seldom, and not at thousands of collected tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def pytest_terminal_summary(terminalreporter):
    """Print what tests have measured: the provider calls of each cold request."""
    reports = terminalreporter.getreports("passed")
    lines = sorted({text for report in reports for name, text in report.user_properties if name == "provider calls"})
    if lines:
        terminalreporter.section("provider calls of a cold request")
        terminalreporter.write("\n".join(lines) + "\n")


def pytest_xdist_auto_num_workers(config):
    """Two processes more than there are cores: many tests only wait for other programs."""
    return (os.cpu_count() or 1) + 2


def pytest_configure(config):
    config.addinivalue_line("markers", "no_skip: a skip is a failure (set in CI)")
