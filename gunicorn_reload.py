"""A reload (HUP) of gunicorn that is tried in a process of its own before any worker is replaced.

By itself gunicorn reads the configuration in the master and replaces the workers at once: a setting or a schema that
does not allow a start would end all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent
TRIED_WITHIN = 60.0  # seconds
MOST_SHOWN = 1000  # characters of a reason


def check_reloads(arbiter: Any) -> None:
    """Have gunicorn's master refuse a reload with which a new process does not start."""
    reload = arbiter.handle_hup

    def handle_hup() -> None:
        reason = _why_no_start(arbiter.START_CTX["cwd"])
        if reason is None:
            reason = _replaced(arbiter, reload)
        if reason is not None:
            arbiter.log.error("The reload was refused, and the workers before it go on: %s", reason)

    arbiter.handle_hup = handle_hup


def _why_no_start(folder: str) -> str | None:
    """Start as this process was started, up to the application, and return why that fails, or None."""
    command = [sys.executable, "-m", "gunicorn", *sys.argv[1:], "--check-config"]
    try:
        tried = subprocess.run(  # noqa: S603  # The arguments are those of this process.
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIED_WITHIN, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the new code or settings could not be tried: {error}"
    return None if tried.returncode == 0 else _reason(tried.stderr.decode(errors="replace"))


def close_listeners(arbiter: Any) -> None:
    """Close what the master listens to after a reload with another address.

    Each worker has a socket of its own. gunicorn opens one in its master as well then, whose connections no process
    accepts.
    """
    for listener in arbiter.LISTENERS:
        listener.close()
    arbiter.LISTENERS = []


def _replaced(arbiter: Any, reload: Callable[[], None]) -> str | None:
    """Reload; return why that failed although it was tried, or None. The master goes on either way."""
    app, configuration = arbiter.app, arbiter.cfg
    code = _forget_code()
    try:
        reload()
    except (Exception, SystemExit) as error:  # Whatever it was, it is logged, and must not end the master.
        if os.getpid() != arbiter.pid:
            raise  # This is a worker that was forked within the reload, and it ends by an exception.
        for name in _own_modules():
            del sys.modules[name]
        sys.modules.update(code)
        app.cfg = configuration
        arbiter.setup(app)
        return f"{type(error).__name__}: {error}"
    return None


def _forget_code() -> dict[str, ModuleType]:
    """Forget the gateway's own modules, so that the new ones are read; a mixture of both could not work."""
    code = _own_modules()
    for name in code:
        del sys.modules[name]
    return code


def _own_modules() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name not in {"__main__", __name__} and _is_own(getattr(module, "__file__", None))
    }


def _is_own(file: str | None) -> bool:
    if file is None:
        return False
    path = Path(file)
    return path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / ".venv") and "site-packages" not in path.parts


def _reason(said: str) -> str:
    """Return the reason among what a failed start has said, on one line; of a traceback its place and its end."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("{")]
    if any(line.startswith("Traceback ") for line in lines):
        places = [line for line in lines if line.startswith('File "')]
        lines = [*places[-1:], lines[-1]]
    return " ".join(lines)[-MOST_SHOWN:] or "no reason was given"
