"""`make doctor`: settings, token, account link, version and Modash key, each with the next step."""

from __future__ import annotations

import logging
import sys

from commands.probe import answers
from config import Config, ConfigError
from services import Services
from services.clock import Clock
from services.status import Check

MARKS = {True: "ok  ", False: "FAIL", None: "-   "}


def main() -> int:
    """Print one line for each check; exit 1 if one of them failed."""
    try:
        config = Config.from_env()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    say(Check("settings", True, f"{config.providers}; {config.graph_api_version} at {config.graph_base_url}"))
    if config.sandbox and not answers(f"http://127.0.0.1:{config.simulator_port}/_simulator/clock"):
        say(Check("simulator", False, f"no answer on port {config.simulator_port}", "Start it: make run"))
        return 1
    logging.disable(logging.WARNING)  # What would be logged is among the checks.
    failed = False
    for check in Services.build(config, Clock()).status.checks():
        say(check)
        failed = failed or check.ok is False
    return 1 if failed else 0


def say(check: Check) -> None:
    """Print one line for a check, and one for what to do next."""
    print(f"{MARKS[check.ok]} {check.name}: {check.message}")
    if check.next_step is not None:
        print(f"       next: {check.next_step}")


if __name__ == "__main__":
    sys.exit(main())
