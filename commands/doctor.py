"""`make doctor`: checks settings, store, token, account link, version and Modash key, each with the next step."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from commands import DONE, FAILED, USAGE, MigrationError
from commands.migrate import migrate_or_explain
from commands.probe import answers
from config import Config, ConfigError, unknown_settings, unusable_proxies
from services.access import start
from services.clock import Clock
from services.status import Check, overall
from services.wiring.container import Services

MARKS = {"ok": "ok  ", "warning": "WARN", "failing": "FAIL", "not_checked": "-   "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each check, or a report as JSON.

    Return 0, 1 if a check failed, or 2 if the settings cannot be used. The store is created or migrated first, as
    `make run` does, so that this can be the first command of all.
    """
    parser = argparse.ArgumentParser(
        prog="make doctor",
        description=__doc__,
        epilog="exit status of `.venv/bin/python -m commands.doctor` (make ends with 2 after each failure): "
        "0 no check failed, 1 a check failed, 2 the settings or an argument cannot be used",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    to_json = parser.parse_args(arguments).json
    try:
        config = Config.from_env()
    except ConfigError as error:
        if to_json:
            next_step = "Correct it in .env, or in the environment."
            print_report([Check("settings", False, each, next_step, "settings_invalid") for each in error.faults])
        else:
            print(error, file=sys.stderr)
        return USAGE
    checks = []
    for check in checks_of(config):
        checks.append(check)
        if not to_json:
            say(check)
    if to_json:
        print_report(checks)
    return FAILED if any(check.ok is False for check in checks) else DONE


def checks_of(config: Config) -> Iterator[Check]:
    """Yield each check as soon as it is made."""
    yield Check("settings", True, f"{config.providers}; {config.graph_api_version} at {config.graph_base_url}")
    for sentence in unknown_settings():
        yield Check("settings file", None, sentence)
    for sentence in unusable_proxies(config):
        yield Check("proxy", False, sentence)
    try:
        migrate_or_explain(config)
    except MigrationError as error:
        next_step = "Check DATABASE_URL." if config.database_url else f"Check the folder {config.instance_path}."
        yield Check("store", False, str(error), next_step)
        return
    yield Check("store", True, "PostgreSQL" if config.database_url else config.instance_path)
    if config.sandbox and not answers(f"http://127.0.0.1:{config.simulator_port}/_simulator/clock"):
        # Not a failure: before the first `make run` no simulator can be running.
        message = f"not running on port {config.simulator_port}; token, account and key are not checked"
        yield Check("simulator", None, message, "Start it with `make run`, then run `make doctor` again.")
        return
    logging.disable(logging.WARNING)  # The checks report the same.
    services = Services.build(config, Clock())
    try:
        if not config.sandbox:
            yield _access(config, services)
        yield from services.status.checks()
        if (added := services.account_list.overview().check).ok is not None:
            yield _as_known(added)
    finally:
        services.close()


def _as_known(added: Check) -> Check:
    """Return the check of the added accounts, for which nothing was called.

    Its next step, where there is one, names the command that checks them now.
    """
    next_step = added.next_step
    if next_step is not None:
        next_step += ' `make account ARGS="check --failed-only"` checks all of them now.'
    return replace(
        added, message=f"{added.message}; from earlier checks and reads".replace(".;", ";"), next_step=next_step
    )


def _access(config: Config, services: Services) -> Check:
    """Return whether a gateway would start with these API keys, as a check."""
    keys, now = services.store.api_keys, Clock().timestamp()
    if (why := start.why_not(keys, config, now)) is not None:
        return Check("API keys", False, why, 'Run `make key ARGS="create NAME"`.', "no_api_key")
    valid = sum(row.is_valid(now) for row in keys.rows())
    without = "; requests without a key are answered too (ALLOW_ANONYMOUS)" if config.allow_anonymous else ""
    return Check("API keys", True, f"{valid} valid{without}")


def print_report(checks: Sequence[Check]) -> None:
    """Print checks as JSON, in the form of GET /status."""
    listed = [check.as_json() for check in checks]
    print(json.dumps({"status": overall(listed), "checks": listed}, indent=2))


def say(check: Check) -> None:
    """Print the lines of a check."""
    print("\n".join(lines_of(check)), flush=True)


def lines_of(check: Check) -> list[str]:
    """Return the line of a check, and that of its next step."""
    line = f"{MARKS[check.state]} {check.name}: {check.message}"
    return [line] if check.next_step is None else [line, f"       next: {check.next_step}"]


if __name__ == "__main__":
    sys.exit(main())
