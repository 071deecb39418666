"""`make doctor`: checks settings, store, token, account link, version and Modash key, each with the next step."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

from commands.migrate import MigrationError, migrate_or_explain
from commands.probe import answers
from config import Config, ConfigError, unknown_settings, unusable_proxies
from services.access import start
from services.clock import Clock
from services.container import Services
from services.status import Check

MARKS = {"ok": "ok  ", "warning": "WARN", "failing": "FAIL", "not_checked": "-   "}


def main() -> int:
    """Print one line for each check; return 1 if one of them failed.

    The store is created or migrated first, as `make run` does, so that this can be the first command of all.
    """
    try:
        config = Config.from_env()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    say(Check("settings", True, f"{config.providers}; {config.graph_api_version} at {config.graph_base_url}"))
    for sentence in unknown_settings():
        say(Check("settings file", None, sentence))
    for sentence in unusable_proxies(config):
        say(Check("proxy", False, sentence))
    try:
        migrate_or_explain(config)
    except MigrationError as error:
        next_step = "Check DATABASE_URL." if config.database_url else f"Check the folder {config.instance_path}."
        say(Check("store", False, str(error), next_step))
        return 1
    say(Check("store", True, "PostgreSQL" if config.database_url else config.instance_path))
    if config.sandbox and not answers(f"http://127.0.0.1:{config.simulator_port}/_simulator/clock"):
        # Not a failure: before the first `make run` no simulator can be running.
        message = f"not running on port {config.simulator_port}; token, account and key are not checked"
        say(Check("simulator", None, message, "Start it with `make run`, then run `make doctor` again."))
        return 0
    logging.disable(logging.WARNING)  # The checks report the same.
    services = Services.build(config, Clock())
    try:
        access = [] if config.sandbox else [_access(config, services)]
        return _report([*access, *services.status.checks()])
    finally:
        services.close()


def _access(config: Config, services: Services) -> Check:
    """Return whether a gateway would start with these API keys, as a check."""
    keys, now = services.store.api_keys, Clock().timestamp()
    if (why := start.why_not(keys, config, now)) is not None:
        return Check("API keys", False, why, 'Run `make key ARGS="create NAME"`.', "no_api_key")
    valid = sum(row.is_valid(now) for row in keys.rows())
    without = "; requests without a key are answered too (ALLOW_ANONYMOUS)" if config.allow_anonymous else ""
    return Check("API keys", True, f"{valid} valid{without}")


def _report(checks: Iterable[Check]) -> int:
    failed = False
    for check in checks:
        say(check)
        failed = failed or check.ok is False
    return 1 if failed else 0


def say(check: Check) -> None:
    """Print one line for a check, and one for its next step."""
    print("\n".join(lines_of(check)))


def lines_of(check: Check) -> list[str]:
    """Return the line of a check, and that of its next step."""
    line = f"{MARKS[check.state]} {check.name}: {check.message}"
    return [line] if check.next_step is None else [line, f"       next: {check.next_step}"]


if __name__ == "__main__":
    sys.exit(main())
