"""`make run`: the gateway, its worker and, in sandbox mode, the simulator beside them, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from commands import FAILED, USAGE, UsageError
from commands.probe import answers
from config import Config, ConfigError
from front.listen_address import why_unusable

READY_WITHIN = 30.0  # seconds
STOP_MARGIN = 15.0  # seconds beyond the graceful timeout after which a program that still runs is killed
QUIET_STOP = 4.0  # seconds that the programs need to end where nothing is under way
QUIT_WITHIN = 5.0  # seconds that they have to end at once
SAME_SIGNAL = 0.5  # seconds; one Ctrl-C or SIGTERM may come twice, from the terminal or the system and from `make`
INSTAGRAM_EXAMPLES = ("/account-insights?period=day&metrics=impressions,reach", "/growth-trends?period=30d")
FREE_EXAMPLES = ("/accounts", "/status")
MODASH_EXAMPLE = "/performance-data?url=nasa"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEY_HEADER = ' -H "Authorization: Bearer $KEY"'


Processes = dict[str, subprocess.Popen[str]]


class Stopped(Exception):
    """A signal requests the end of all processes."""


class StopSignals:
    """The first signal raises `Stopped`; a second one, during the end, is noted: it requests an end at once."""

    def __init__(self) -> None:
        self.at_once = False
        self._ending_since: float | None = None  # monotonic seconds

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self._ending_since is not None:
            self.at_once |= time.monotonic() > self._ending_since + SAME_SIGNAL
            return
        self.note_end()
        raise Stopped

    def note_end(self) -> None:
        """Note that the processes are being ended, for whatever reason."""
        if self._ending_since is None:
            self._ending_since = time.monotonic()


def main() -> int:
    """Start all processes, print how to try them, and end them together."""
    argparse.ArgumentParser(prog="make run", description=__doc__).parse_args()
    signals = StopSignals()
    for each in SIGNALS:
        signal.signal(each, signals.handle)
    processes: Processes = {}
    config: Config | None = None
    try:
        config = Config.from_env()
        _refuse_unusable_addresses(config)
        _migrate(processes)
        if not config.sandbox:
            _require_access(processes)
        if config.sandbox:
            _start(processes, "simulator", "simulator", "--port", str(config.simulator_port))
        _start(processes, "worker", "worker")
        _start(processes, "gateway", "gunicorn", "app:create_app()")
        _wait_until_ready(f"{config.url}/healthz", processes)
        _say_how_to_try(config, _added_accounts(config, processes))
        return _watch(processes)
    except Stopped:
        print("\nStopping ...", flush=True)
        return 0
    except (ConfigError, UsageError) as error:
        print(error, file=sys.stderr)
        return USAGE
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return FAILED
    finally:
        signals.note_end()
        if config is not None:  # Without settings nothing was started.
            _end(processes, config, signals)


def _start(processes: Processes, name: str, *arguments: str, output: int | None = None) -> subprocess.Popen[str]:
    """Start a module as one of the processes. A signal waits until it is one, for otherwise it would not be ended."""
    command = [sys.executable, "-m", *arguments]
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        processes[name] = process = subprocess.Popen(
            command,
            stdout=output,
            text=True,
            preexec_fn=_leave_signals_to_parent,  # noqa: PLW1509  # This process has one thread.
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return process


def _leave_signals_to_parent() -> None:
    """Leave SIGTERM as the only signal that ends a program.

    Ctrl-C and the end of a terminal reach all of its processes. They would end gunicorn's workers at once, with the
    calls that may have been charged, and a program that starts with a traceback.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _run(processes: Processes, *arguments: str, output: int | None = None) -> tuple[int, str]:
    """Run a command to its end, in a child process; return its exit status and what it wrote to `output`."""
    process = _start(processes, arguments[0], *arguments, output=output)
    written, _ = process.communicate()
    del processes[arguments[0]]
    return process.returncode, written


def _migrate(processes: Processes) -> None:
    # In a child process: Alembic is not needed afterwards, and its memory is freed with the process.
    if _run(processes, "commands.migrate", "--quiet")[0]:
        raise RuntimeError("The store could not be migrated; the line above says why.")


def _require_access(processes: Processes) -> None:
    # In a child process too: this one needs no database.
    if _run(processes, "commands.key", "check")[0]:
        raise RuntimeError("Nothing was started; the line above says why.")


def _refuse_unusable_addresses(config: Config) -> None:
    addresses = {"PORT": (config.host, config.port)}
    if config.sandbox:
        addresses["SIMULATOR_PORT"] = ("127.0.0.1", config.simulator_port)
    for setting, (host, port) in addresses.items():
        if (why := why_unusable(host, port, setting=setting)) is not None:
            raise UsageError(why)


def _wait_until_ready(url: str, processes: Processes) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"The {name} ended at once; its last lines above say why.")
        if answers(url):
            return
        time.sleep(0.1)
    raise RuntimeError(f"The gateway did not answer within {READY_WITHIN:g} seconds.")


def _say_how_to_try(config: Config, added: Sequence[str]) -> None:
    has_account = config.instagram_configured or bool(added)
    if config.sandbox:
        print("\nSandbox: simulated accounts, no token needed. With a token in .env the same calls are live.")
    else:
        missing = [] if has_account else [_why_no_account(config)]
        missing += [] if config.modash_configured else ["Modash is not configured (MODASH_API_KEY is empty)."]
        print("\n" + " ".join(["Live.", *missing, "`make doctor` checks the rest."]))
    examples = _free_calls(config, added) if has_account else [*FREE_EXAMPLES]
    needs_key = not config.sandbox and not config.allow_anonymous
    start = f"curl{KEY_HEADER if needs_key else ''} '{config.url}"
    print("Try (Ctrl-C ends everything):")
    if needs_key:
        print('  # KEY is a key of `make key`; a new one: KEY=$(make -s key ARGS="create NAME")')
    print("\n".join(f"  {start}{example}'" for example in examples))
    if config.modash_configured:
        costs = "" if config.sandbox else "  # costs 0.25 Modash credits, unless the report is kept"
        print(f"  {start}{MODASH_EXAMPLE}'{costs}")
    sys.stdout.flush()


def _free_calls(config: Config, added: Sequence[str]) -> list[str]:
    """Return calls that cost nothing; where there are several accounts, they name one."""
    if len(added) + config.instagram_configured == 1:
        return [*INSTAGRAM_EXAMPLES]
    name = (config.instagram_account_id if config.instagram_configured else "") or added[0]
    return [f"{example}&account={name}" for example in INSTAGRAM_EXAMPLES]


def _why_no_account(config: Config) -> str:
    if config.token_key:
        return "There is no Instagram account (`make connect` adds one; ACCESS_LONG_LIVED_TOKEN is empty)."
    return "Instagram is not configured (ACCESS_LONG_LIVED_TOKEN is empty)."


def _added_accounts(config: Config, processes: Processes) -> list[str]:
    """Return the ids of the added accounts."""
    if not config.token_key:
        return []
    # In a child process: this one needs no database.
    status, listed = _run(processes, "commands.account", "list", "--json", output=subprocess.PIPE)
    if status:
        raise RuntimeError("The accounts could not be listed; the line above says why.")
    return [account["id"] for account in json.loads(listed)]


def _watch(processes: Processes) -> int:
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"The {name} ended by itself (exit code {process.returncode}).")
        time.sleep(0.5)


def _end(processes: Processes, config: Config, signals: StopSignals) -> None:
    """End the programs; what is under way in the gateway and the worker comes to its end, unless that is cut short."""
    callers = {name: process for name, process in processes.items() if name != "simulator"}
    for process in callers.values():
        process.terminate()
    if not _have_ended(callers, QUIET_STOP, signals):
        _wait_for_calls(callers, config, signals)
    # The simulator is the last one: it answers the calls that are under way. The jobs of a worker are repeated by the
    # next one. gunicorn ends its workers with itself for SIGQUIT, but not for SIGKILL.
    at_once = {"gateway": signal.SIGQUIT, "simulator": signal.SIGTERM}
    for name, process in processes.items():
        process.send_signal(at_once.get(name, signal.SIGKILL))
    _have_ended(processes, QUIT_WITHIN)
    for process in processes.values():
        process.kill()
        process.wait()


def _wait_for_calls(callers: Processes, config: Config, signals: StopSignals) -> None:
    """Wait until the gateway and the worker have ended, for as long as gunicorn's configuration gives a request."""
    # Imported here: this process needs nothing else of what makes the calls.
    from services.wiring.provider_clients import graceful_timeout  # noqa: PLC0415

    seconds = graceful_timeout(config)
    names = " and the ".join(name for name, process in callers.items() if process.poll() is None)
    if names:
        print(
            f"Waiting for the {names}, {seconds} seconds at most: a call that is under way may have been charged.\n"
            "Ctrl-C again ends all at once.",
            flush=True,
        )
    _have_ended(callers, seconds + STOP_MARGIN, signals)


def _have_ended(processes: Processes, seconds: float, signals: StopSignals | None = None) -> bool:
    """Wait some seconds for the end of processes; return whether it came. A second signal ends the wait."""
    deadline = time.monotonic() + seconds
    while any(process.poll() is None for process in processes.values()):
        if time.monotonic() > deadline or (signals is not None and signals.at_once):
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    sys.exit(main())
