"""`make connect`: from a token of a login to the first live number; where it fails, it names the cause and what to do.

Tokens and codes are read from a hidden prompt or from standard input, and are never shown.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from commands import DONE, FAILED, USAGE, MigrationError, StoreUnavailableError, UsageError
from commands.env_file import write_setting
from commands.migrate import migrate_or_explain
from config import Config, ConfigError, settings_file, settings_now
from config_parsing import unquoted
from services.accounts.connecting import Candidate, Connected, Connector, Grant, NotConnectedError
from services.accounts.diagnosis import Diagnosis, one
from services.accounts.token_encryption import new_key
from services.clients.graph.logins import login_of
from services.clock import Clock
from services.days import our_time
from services.errors import PASSING, InsightsError, ProviderBlockedError
from services.redaction import Redaction
from services.store.database import DatabaseUnavailableError
from services.wiring.container import Services
from services.wiring.provider_clients import apps_of, graph_client, token_client

TRY_AGAIN = 3  # the exit status: Instagram or the database did not answer
TRIED_AGAIN = (*PASSING, ProviderBlockedError)
EXAMPLES = """\
examples:
  make connect                                     asks for a token, lists the accounts, asks which
  make connect ARGS="--write-env" < token.txt      also writes a new TOKEN_KEY into .env if there is none
  make connect ARGS="--all --json" < token.txt     for scripts
  make connect ARGS="--account corner.bakery"      of several accounts this one
  make connect ARGS="--id 17841400000000000"       an account whose Page is not listed
  make connect ARGS="--login instagram --redirect-uri https://app.example/back"    reads a code, not a token

exit status of `.venv/bin/python -m commands.connect` (make ends with 2 after each failure): 0 connected, 1 not
connected and the cause is named, 2 an argument or setting is missing or a choice is needed, 3 Instagram or the
database did not answer: try again
"""


@dataclass
class ConnectReport:
    """What is reported: accounts that are connected, those to choose from, and what is wrong."""

    status: str = "not_connected"  # connected, not_connected, choice_needed, usage or try_again
    connected: list[Connected] = field(default_factory=list)
    choices: Sequence[Candidate] = ()
    failures: list[tuple[str | None, Diagnosis]] = field(default_factory=list)  # by username or id
    message: str | None = None
    next_step: str | None = None
    new_key: str | None = field(default=None, repr=False)
    wrote_key: bool = False
    note: str | None = None

    @property
    def exit_status(self) -> int:
        """The exit status of the command."""
        known = {"connected": DONE, "not_connected": FAILED, "try_again": TRY_AGAIN}
        return known.get(self.status, USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Connect accounts; print what was done and what is wrong, without a traceback."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.WARNING)  # The output says the same.
    report = ConnectReport()
    try:
        _run(options, report)
    except NotConnectedError as error:
        report.failures.append((None, error.diagnosis))
    except TRIED_AGAIN as error:
        report.status, report.message, report.next_step = "try_again", error.message, error.hint
    except InsightsError as error:
        report.failures.append((None, one(error.code, error.message, error.hint or "Run `make doctor`.")))
    except DatabaseUnavailableError as error:
        report.status, report.message = "try_again", f"The database is unavailable: {error}"
    except StoreUnavailableError as error:
        report.status, report.message = "try_again", str(error)
    except MigrationError as error:
        report.message = str(error)
    except (ConfigError, UsageError) as error:
        report.status, report.message = "usage", str(error)
    if options.json:
        print(json.dumps(_as_json(report), indent=2))
    else:
        _say(report)
    return report.exit_status


def _run(options: argparse.Namespace, report: ConnectReport) -> None:
    config = _config(options, report)
    secret = _secret("Code" if options.redirect_uri else "Token")
    migrate_or_explain(config)
    clock, redaction = Clock(), Redaction(config.secrets)
    redaction.learn(secret)
    services = Services.build(config, clock, redaction=redaction)
    try:
        connector = Connector(
            token_client(config, clock, redaction=redaction),
            graph_client(config, clock, redaction=redaction),
            apps=_apps(config),
            encryption=services.token_encryption,
            table=services.store.accounts,
            health=services.store.account_health,
            clock=clock,
            before_store=partial(_write_key, report),
        )
        grant = _grant(connector, options, secret, config)
        candidates = connector.candidates(grant, ids=options.id, page_id=options.page_id or "")
        chosen = _chosen(candidates, options)
        if not chosen:
            report.status, report.choices = "choice_needed", candidates
            return
        _connect(connector, grant, chosen, report)
        if config.has_token_of({each.id for each in report.connected}):
            report.note = "The account is that of .env as well: its token there is used until you remove it from .env."
    finally:
        services.close()


def _connect(connector: Connector, grant: Grant, chosen: Sequence[Candidate], report: ConnectReport) -> None:
    for candidate in chosen:
        try:
            report.connected.append(connector.connect(grant, candidate))
        except NotConnectedError as error:
            report.failures.append((candidate.username or candidate.account.id, error.diagnosis))
    if report.connected and not report.failures:
        report.status = "connected"


def _config(options: argparse.Namespace, report: ConnectReport) -> Config:
    """Return the settings, with a key for the tokens; to connect is to go live, unless PROVIDERS says otherwise."""
    given = dict(settings_now())
    if not given.get("TOKEN_KEY"):
        given["TOKEN_KEY"] = report.new_key = _new_key(options)
    if not given.get("PROVIDERS"):
        given["PROVIDERS"] = "live"
    return Config.from_env(given)


def _new_key(options: argparse.Namespace) -> str:
    """Return a new key if it may be written into the settings file, which is done once an account works."""
    path = settings_file()
    is_asked = not options.write_env and not options.json and sys.stdin.isatty() and path is not None
    if is_asked:
        print("TOKEN_KEY is missing, with which the tokens of accounts are encrypted in the database.")
        options.write_env = input(f"Write a new one into {path}? [Y/n] ").strip().lower() in {"", "y", "yes"}
    if not options.write_env or path is None:
        raise UsageError(
            "TOKEN_KEY is missing, with which the tokens of accounts are encrypted in the database. "
            "Put the line that `make account ARGS=key` prints into .env, or run this with --write-env."
        )
    return new_key()


def _write_key(report: ConnectReport) -> None:
    """Write a new key into the settings file, once; without it the tokens could not be decrypted."""
    path = settings_file()
    if report.new_key is None or report.wrote_key or path is None:
        return
    try:
        write_setting(path, "TOKEN_KEY", report.new_key)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be written: {error}") from None
    report.wrote_key = True


def _apps(config: Config) -> Mapping[str, str]:
    return {login: app_id for login, (app_id, secret) in apps_of(config).items() if app_id and secret}


def _grant(connector: Connector, options: argparse.Namespace, secret: str, config: Config) -> Grant:
    if options.redirect_uri:
        login = options.login or config.graph_login
        return connector.with_code(secret, login=login, redirect_uri=options.redirect_uri)
    return connector.with_token(secret, login=options.login, implied=login_of(secret), is_long_lived=options.long_lived)


def _chosen(candidates: Sequence[Candidate], options: argparse.Namespace) -> Sequence[Candidate]:
    """Return the accounts to connect; none where a choice is needed that cannot be asked for."""
    if options.account:
        wanted = {each.removeprefix("@").lower() for each in options.account}
        found = [each for each in candidates if {each.account.id, (each.username or "").lower()} & wanted]
        named = {name for each in found for name in (each.account.id, (each.username or "").lower())}
        if missing := sorted(wanted - named):
            names = ", ".join(_name(each) for each in candidates)
            raise UsageError(f"The token shows no account {', '.join(missing)}; it shows {names}.")
        return found
    if options.all or options.id or len(candidates) == 1:
        return candidates
    if options.json or not sys.stdin.isatty():
        return ()
    print("The token shows these accounts:")
    for number, candidate in enumerate(candidates, 1):
        print(f"  {number}  {_name(candidate)}")
    while True:
        answer = input("Which? Numbers, or all: ").strip().lower()
        if answer == "all":
            return candidates
        numbers = re.findall(r"\d+", answer)
        if numbers and all(1 <= int(each) <= len(candidates) for each in numbers):
            return [candidates[int(each) - 1] for each in dict.fromkeys(numbers)]


def _name(candidate: Candidate) -> str:
    page = f", Page {candidate.page_name}" if candidate.page_name else ""
    return f"{candidate.username or 'without a name'} ({candidate.account.id}{page})"


def _say(report: ConnectReport) -> None:
    if report.wrote_key:
        print("ok   TOKEN_KEY: written into the settings file; keep a copy where the backup of the database is not")
    for account in report.connected:
        _say_connected(account)
    if report.note:
        print(f"-    {report.note}")
    for name, found in report.failures:
        _say_causes(name, found)
    for candidate in report.choices:
        print(f"-    {_name(candidate)}")
    if report.choices:
        print("Choose with --account (several times for several accounts), or --all.", file=sys.stderr)
    if report.message:
        print("\n       next: ".join(filter(None, [report.message, report.next_step])), file=sys.stderr)
    if report.status == "connected":
        print('Then: make key ARGS="create dashboard" if there is no key yet, make run, make doctor')
    if report.failures:
        print("Nothing else was stored." if report.connected else "Nothing was stored.")


def _say_connected(account: Connected) -> None:
    print(f"ok   token: {_life(account)}")
    print(f"ok   account: {account.username} ({account.id}, login {account.login})")
    print(f"ok   stored: {'replaced' if account.was_there else 'added'}; running gateways use it after 2 seconds")
    print(f"ok   first numbers: {_numbers(account)}")
    if account.warning is not None:
        print(f"-    insights: {account.warning.fact}\n       next: {account.warning.next_step}")


def _say_causes(name: str | None, found: Diagnosis) -> None:
    where = f" ({name})" if name else ""
    for cause in found.causes:
        mark = "FAIL" if len(found.causes) == 1 else "?   "
        print(f"{mark} {cause.code}{where}: {cause.fact}\n       next: {cause.next_step}")
    if found.check:
        print(f"check: {found.check}")


def _life(account: Connected) -> str:
    if account.expires_at is None:
        return "accepted; when it expires is not known"
    end = "does not expire" if math.isinf(account.expires_at) else f"expires at {our_time(account.expires_at)}"
    return f"accepted, {end}"


def _numbers(account: Connected) -> str:
    followers = "an unknown number of" if account.followers is None else f"{account.followers:,}"
    when = "yesterday" if account.reach_days == 1 else f"in the last {account.reach_days} days"
    reach = "no reach yet" if account.reach is None else f"{account.reach:,} people reached {when}"
    return f"{followers} followers, {reach}"


def _as_json(report: ConnectReport) -> dict[str, object]:
    return {
        "status": report.status,
        "connected": [
            {
                "id": account.id,
                "username": account.username,
                "login": account.login,
                "page_id": account.page_id or None,
                "followers": account.followers,
                "reach": account.reach,
                "reach_days": account.reach_days,
                "token_expires_at": None
                if account.expires_at is None or math.isinf(account.expires_at)
                else our_time(account.expires_at),
                "replaced": account.was_there,
                "warning": None if account.warning is None else account.warning.as_json(),
            }
            for account in report.connected
        ],
        "accounts": [
            {"id": each.account.id, "username": each.username, "page_id": each.account.page_id, "page": each.page_name}
            for each in report.choices
        ],
        "failures": [{"account": name, **found.as_json()} for name, found in report.failures],
        "wrote_token_key": report.wrote_key,
        "note": report.note,
        "message": report.message,
        "next_step": report.next_step,
    }


def _secret(what: str) -> str:
    """Read a token or code. An argument would show it in the shell's history and in the list of processes."""
    is_asked = sys.stdin.isatty()
    text = (getpass.getpass(f"{what} (not shown): ") if is_asked else sys.stdin.readline()).strip()
    try:
        text = unquoted(text)
    except ValueError as error:
        raise UsageError(f"The {what.lower()} {error}.") from None
    if not re.fullmatch(r"[!-~]{8,}", text):
        raise UsageError(
            f"Not a {what.lower()}: it has a space or a character outside ASCII, or is too short. Paste it again."
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make connect", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--login", choices=("facebook", "instagram"), help="default: by the token's prefix")
    parser.add_argument("--redirect-uri", help="read an authorization code instead of a token; the login's address")
    parser.add_argument("--long-lived", action="store_true", help="do not exchange a token of the Instagram login")
    parser.add_argument("--account", action="append", default=[], help="connect this one (id or username)")
    parser.add_argument("--all", action="store_true", help="connect every account that the token shows")
    parser.add_argument("--id", action="append", default=[], type=_digits, help="read an account by its known id")
    parser.add_argument("--page-id", type=_digits, help="only the account that is linked to this Page")
    parser.add_argument("--write-env", action="store_true", help="write a new TOKEN_KEY into .env if there is none")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _digits(text: str) -> str:
    if not re.fullmatch(r"\d{1,30}", text, re.ASCII):
        raise argparse.ArgumentTypeError("accepted: a number of digits only")
    return text


if __name__ == "__main__":
    sys.exit(main())
