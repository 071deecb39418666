"""A reload that cannot work is refused with its reason, and leaves gunicorn's master as it was."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

import gunicorn_reload
from gunicorn_reload import MOST_SHOWN, check_reloads, close_listeners
from tests.support import ROOT, environment

APPLICATION = """
def application(environ, start_response):
    return []
"""


class Arbiter:
    """As much of gunicorn's master as a reload concerns."""

    def __init__(self, folder, reload):
        self.START_CTX = {"cwd": str(folder)}
        self.pid = os.getpid()
        self.app, self.cfg = SimpleNamespace(cfg="as it was"), "as it was"
        self.log = SimpleNamespace(error=lambda text, reason: self.refused.append(reason))
        self.refused, self.set_up_with = [], []
        self._reload = reload

    def handle_hup(self):
        self._reload(self)

    def setup(self, app):
        self.set_up_with.append(app.cfg)


@pytest.fixture(autouse=True)
def own_modules():
    """The gateway's modules that are imported, which a reload forgets; other tests have use for them."""
    before = services()
    everything = dict(sys.modules)
    yield before
    for name in services().keys() - before.keys():
        del sys.modules[name]
    sys.modules.update(everything)


def services():
    return {name: module for name, module in sys.modules.items() if name.startswith("services")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of an application that gunicorn can start."""
    (tmp_path / "application.py").write_text(APPLICATION)
    monkeypatch.setattr(sys, "argv", ["gunicorn", "application"])
    return tmp_path


def reloaded(folder, reload=lambda _: None):
    """Reload, and return the master afterwards."""
    arbiter = Arbiter(folder, reload)
    check_reloads(arbiter)
    arbiter.handle_hup()
    return arbiter


def test_what_starts_is_reloaded_with_the_code_that_is_there_now(folder, own_modules):
    found = []

    arbiter = reloaded(folder, lambda _: found.append(services()))

    assert own_modules != {}
    assert (found, arbiter.refused) == ([{}], [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            'raise SystemExit("The gateway cannot start:\\n- PORT is wrong.")',
            "The gateway cannot start: - PORT is wrong.",
        ),
        ('import os, sys\nsys.stderr.write(\'{"level": "INFO"}\\n\')\nos._exit(3)', "no reason was given"),
        (f"raise SystemExit('x' + 'y' * {MOST_SHOWN})", "y" * MOST_SHOWN),
    ],
    ids=["sentences", "nothing", "too much"],
)
def test_what_does_not_start_is_refused_with_what_it_said(folder, text, reason):
    (folder / "application.py").write_text(text)

    arbiter = reloaded(folder, lambda _: pytest.fail("It was reloaded."))

    assert arbiter.refused == [reason]


def test_of_a_traceback_its_last_place_and_its_end_are_named(folder):
    (folder / "application.py").write_text("import part\n")
    (folder / "part.py").write_text("import no_such_module\n")

    [reason] = reloaded(folder, lambda _: pytest.fail("It was reloaded.")).refused

    assert reason.startswith(f'File "{folder}/part.py", line 1')
    assert reason.endswith("ModuleNotFoundError: No module named 'no_such_module'")


def test_what_cannot_be_tried_is_refused(folder, monkeypatch):
    in_no_folder = reloaded(folder / "gone", lambda _: pytest.fail("It was reloaded."))
    monkeypatch.setattr(gunicorn_reload, "TRIED_WITHIN", 0.1)
    (folder / "application.py").write_text("import time\ntime.sleep(60)\n")
    too_late = reloaded(folder, lambda _: pytest.fail("It was reloaded."))

    reasons = [*in_no_folder.refused, *too_late.refused]
    assert [reason.startswith("the new code or settings could not be tried: ") for reason in reasons] == [True, True]
    assert "gone" in reasons[0]
    assert "timed out" in reasons[1]


@pytest.mark.parametrize("error", [SystemExit("PORT is wrong."), OSError("No space left on device")])
def test_a_reload_that_fails_although_it_was_tried_leaves_everything_as_it_was(folder, own_modules, error):
    def reload(arbiter):
        arbiter.app.cfg = "half of the new one"
        for name in ("days", "of_tomorrow"):
            sys.modules[f"services.{name}"] = SimpleNamespace(__file__=str(ROOT / "services" / f"{name}.py"))
        raise error

    arbiter = reloaded(folder, reload)

    assert arbiter.refused == [f"{type(error).__name__}: {error}"]
    assert (arbiter.app.cfg, arbiter.set_up_with) == ("as it was", ["as it was"])
    assert services() == own_modules


def test_a_worker_that_was_forked_within_the_reload_ends_by_its_own_exception(folder):
    def reload(arbiter):
        arbiter.pid += 1  # This process is no longer the master.
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        reloaded(folder, reload)


def test_after_a_reload_with_another_address_the_master_listens_to_nothing():
    listener = socket.create_server(("127.0.0.1", 0))
    arbiter = SimpleNamespace(LISTENERS=[listener])

    close_listeners(arbiter)

    assert (arbiter.LISTENERS, listener.fileno()) == ([], -1)


IGNORED = """
import signal
signal.signal(signal.SIG{name}, signal.SIG_IGN)
import gunicorn_boot
print(signal.getsignal(signal.SIG{name}) is signal.SIG_IGN)
"""


@pytest.mark.parametrize("name", ["HUP", "INT"])
def test_a_signal_that_is_to_be_ignored_stays_so_during_the_start(name):
    said = subprocess.run(
        [sys.executable, "-c", IGNORED.format(name=name)],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "True\n"
