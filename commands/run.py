"""`make run`: the gateway, its worker and, in sandbox mode, the simulator beside them, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from commands.probe import answers
from config import Config, ConfigError
from front.listen_address import why_unusable

READY_WITHIN = 30.0  # seconds
STOP_WITHIN = 15.0  # seconds until a process that still runs is killed; a worker finishes its jobs for 10
INSTAGRAM_EXAMPLES = ("/account-insights?period=day&metrics=impressions,reach", "/growth-trends?period=30d")
FREE_EXAMPLES = ("/accounts", "/status")
MODASH_EXAMPLE = "/performance-data?url=nasa"
KEY_HEADER = ' -H "Authorization: Bearer $KEY"'


class Stopped(Exception):
    """A signal requests the end of all processes."""


def main() -> int:
    """Start all processes, print how to try them, and end them together."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _stop)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        config = Config.from_env()
        _refuse_unusable_addresses(config)
        _migrate()
        if not config.sandbox:
            _require_access()
        if config.sandbox:
            processes["simulator"] = _start("simulator", "--port", str(config.simulator_port))
        processes["worker"] = _start("worker")
        processes["gateway"] = _start("gunicorn", "app:create_app()")
        _wait_until_ready(f"{config.url}/healthz", processes)
        _say_how_to_try(config)
        return _watch(processes)
    except Stopped:
        print("\nStopping ...", flush=True)
        return 0
    except (ConfigError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        _end(processes)


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", *arguments])


def _migrate() -> None:
    # In a child process: Alembic is not needed afterwards, and its memory is freed with the process.
    if subprocess.run([sys.executable, "-m", "commands.migrate", "--quiet"], check=False).returncode:
        raise RuntimeError("The store could not be migrated; the line above says why.")


def _require_access() -> None:
    # In a child process too: this one needs no database.
    if subprocess.run([sys.executable, "-m", "commands.key", "check"], check=False).returncode:
        raise RuntimeError("Nothing was started; the line above says why.")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN, this also covers a signal that is already pending."""


def _refuse_unusable_addresses(config: Config) -> None:
    addresses = {"PORT": (config.host, config.port)}
    if config.sandbox:
        addresses["SIMULATOR_PORT"] = ("127.0.0.1", config.simulator_port)
    for setting, (host, port) in addresses.items():
        if (why := why_unusable(host, port, setting=setting)) is not None:
            raise RuntimeError(why)


def _wait_until_ready(url: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"The {name} ended at once; its last lines above say why.")
        if answers(url):
            return
        time.sleep(0.1)
    raise RuntimeError(f"The gateway did not answer within {READY_WITHIN:g} seconds.")


def _say_how_to_try(config: Config) -> None:
    added = _added_accounts(config)
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


def _added_accounts(config: Config) -> list[str]:
    """Return the ids of the added accounts."""
    if not config.token_key:
        return []
    # In a child process: this one needs no database.
    listed = subprocess.run(
        [sys.executable, "-m", "commands.account", "list", "--json"], stdout=subprocess.PIPE, check=False, text=True
    )
    if listed.returncode:
        raise RuntimeError("The accounts could not be listed; the line above says why.")
    return [account["id"] for account in json.loads(listed.stdout)]


def _watch(processes: dict[str, subprocess.Popen[bytes]]) -> int:
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"The {name} ended by itself (exit code {process.returncode}).")
        time.sleep(0.5)


def _end(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _ignore)
    for process in processes.values():
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_WITHIN
    for process in processes.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
