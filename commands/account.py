"""`make account`: add, list, check and remove accounts in addition to that of `.env`; tokens are never shown."""

from __future__ import annotations

import argparse
import getpass
import logging
import re
import sys
from collections.abc import Sequence

from commands.doctor import say
from commands.migrate import MigrationError, migrate_or_explain
from config import Config, ConfigError, unquoted
from config_checks import TOKEN_PREFIXES
from services.accounts.token_encryption import new_key
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.container import Services
from services.days import our_time
from services.errors import InsightsError
from services.provider_clients import graph_client
from services.redaction import Redaction
from services.store.accounts import AccountRow
from services.store.database import DatabaseUnavailableError

EXAMPLE = """\
examples:
  make account ARGS=key                                   a new TOKEN_KEY for .env
  make account ARGS="add --login facebook --page-id 100"  reads the token, finds id and username
  make account ARGS="add --login instagram"
  make account ARGS=list
  make account ARGS="check corner.bakery"
  make account ARGS="remove corner.bakery --purge"
  make account ARGS="forget 17841400000000001 --yes"      also long after it was removed
"""


class Refused(Exception):
    """An argument is missing or wrong; the text says what to do."""


class AccountCommands:
    """The subcommands, each a method of its name; the store is created or migrated first."""

    def __init__(self, config: Config) -> None:
        migrate_or_explain(config)
        redaction = Redaction(config.secrets)
        self._config = config
        self._clock = Clock()
        self._services = Services.build(config, self._clock, redaction=redaction)
        self._graph: GraphClient = graph_client(config, self._clock, redaction=redaction)
        self._table = self._services.store.accounts

    def add(self, options: argparse.Namespace) -> int:
        """Add an account, or replace its token; the missing arguments are read from Instagram."""
        self._services.token_encryption.keys()  # It raises without TOKEN_KEY, before the token is read.
        token = _token()
        login = _login(options.login, token)
        page_id = options.page_id or ""
        found = options.id or self._id(token, login, page_id)
        account = Account(found, token, login, page_id)
        username = (options.username or self._username(account)).removeprefix("@").lower()
        there = {row.id for row in self._table.rows()}
        sealed = self._services.token_encryption.seal(token)
        row = AccountRow(found, username, login, page_id, sealed, self._clock.timestamp())
        self._table.put(row)
        print(f"{'Replaced' if found in there else 'Added'}: {_named(row)}. Running gateways use it after 2 seconds.")
        if found == self._config.instagram_account_id:
            print("It is also the account of .env. The token there is used until you remove it from .env.")
        return 0

    def list(self, _: argparse.Namespace) -> int:
        """Print the accounts."""
        rows = self._table.rows()
        for row in rows:
            added = our_time(row.added_at)
            print(f"{row.id:<20} {row.username or '?':<30} {row.login:<10} {added}  page {row.page_id or '-'}")
        print(f"{len(rows)} added in {self._config.providers} mode. The account of .env is not listed.")
        return 0

    def remove(self, options: argparse.Namespace) -> int:
        """Remove an account and its cached values; with `--purge` also its history."""
        row = self._row(options.account)
        self._table.remove(row.id)
        self._services.store.cache_entries.forget(row.id)
        print(f"Removed: {_named(row)}. Running gateways stop using it after 2 seconds.")
        if options.purge:
            self._delete(row.id)
        else:
            print("Its history is kept; `--purge` deletes it.")
        return 0

    def forget(self, options: argparse.Namespace) -> int:
        """Delete everything that is kept of an account, also of one that was removed before."""
        reference = options.account
        account = reference if reference.isdigit() else self._row(reference).id
        if not options.yes:
            raise Refused(f"This deletes everything of account {account}, permanently. Add --yes.")
        self._services.store.accounts.remove(account)
        self._services.store.cache_entries.forget(account)
        self._delete(account)
        if account == self._config.instagram_account_id:
            print("It is the account of .env: it is read again until you remove it from there.")
        return 0

    def _delete(self, account: str) -> None:
        store = self._services.store
        deleted = store.deletion.of_account(account)
        if deliveries := store.webhooks.forget(account):
            deleted["webhook_deliveries"] = deliveries
        rows = ", ".join(f"{count} {table}" for table, count in sorted(deleted.items()))
        print(f"Deleted permanently: {rows or 'nothing was kept'}.")
        print("If a worker runs, do it once more in a minute: a job that was under way may have kept something since.")

    def check(self, options: argparse.Namespace) -> int:
        """Check one account or all of them with Instagram; return 1 if a check failed."""
        failed = False
        for row in [self._row(options.account)] if options.account else self._table.rows():
            print(f"{_named(row)}:")
            try:
                account = Account(row.id, self._services.token_encryption.open(row.token), row.login, row.page_id)
            except InsightsError as error:
                print(f"FAIL token: {error.message}\n       next: {error.hint}")
                failed = True
                continue
            for check in self._services.checkup.of(account):
                say(check)
                failed = failed or check.ok is False
        return 1 if failed else 0

    def rekey(self, _: argparse.Namespace) -> int:
        """Encrypt every token with the first key of TOKEN_KEY."""
        rows = self._table.rows()
        for row in rows:
            self._table.put(AccountRow(**vars(row) | {"token": self._services.token_encryption.rotated(row.token)}))
        print(f"{len(rows)} tokens are encrypted with the first key; You may remove the other keys from TOKEN_KEY.")
        return 0

    def close(self) -> None:
        """Stop every thread and close the store."""
        self._services.close()

    def _row(self, reference: str) -> AccountRow:
        name = reference.removeprefix("@").lower()
        for row in self._table.rows():
            if reference == row.id or name == row.username:
                return row
        raise Refused(f"There is no account {reference} in the table. `make account ARGS=list` shows all.")

    def _id(self, token: str, login: str, page_id: str) -> str:
        if login == "instagram":
            return self._graph.own_account(token)
        if not page_id:
            raise Refused("A token of the login with Facebook needs --page-id or --id.")
        return self._graph.linked_account(page_id, token=token)

    def _username(self, account: Account) -> str:
        """Read the account's name, which also proves that the token can read the account."""
        if account.login == "instagram" and (own := self._graph.own_account(account.token)) != account.id:
            raise Refused(f"The token is of account {own}, not of {account.id}. Leave --id out.")
        return str(self._graph.profile(account).get("username") or "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; print a failure as one sentence, without a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "key":
        print(f"TOKEN_KEY={new_key()}")
        return 0
    logging.disable(logging.WARNING)  # The output says the same.
    commands = None
    try:
        commands = AccountCommands(Config.from_env())
        return int(getattr(commands, options.command)(options))
    except InsightsError as error:
        print("\n".join(filter(None, [error.message, error.hint])), file=sys.stderr)
    except DatabaseUnavailableError as error:
        print(f"The database is unavailable: {error}", file=sys.stderr)
    except (ConfigError, MigrationError, Refused) as error:
        print(error, file=sys.stderr)
    finally:
        if commands is not None:
            commands.close()
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make account", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subcommands = parser.add_subparsers(dest="command", metavar="key, add, list, check, remove, forget or rekey")
    subcommands.add_parser("key", help="print a new TOKEN_KEY")
    add = subcommands.add_parser("add", help="add an account, or replace its token, which is read from standard input")
    add.add_argument("--login", choices=("facebook", "instagram"), help="default: by the token's prefix")
    add.add_argument("--page-id", type=_digits, help="the linked page (login with Facebook)")
    add.add_argument("--id", type=_digits, help="default: found by the page or the token")
    add.add_argument("--username", type=_name, help="default: read from Instagram")
    subcommands.add_parser("list", help="print all accounts, without tokens")
    check = subcommands.add_parser("check", help="check with Instagram whether an account, or each, works")
    check.add_argument("account", nargs="?", help="id or username")
    remove = subcommands.add_parser("remove", help="remove an account and its cached values")
    remove.add_argument("account", help="id or username")
    remove.add_argument("--purge", action="store_true", help="also delete its history, permanently")
    forget = subcommands.add_parser("forget", help="delete everything that is kept of an account, permanently")
    forget.add_argument("account", help="id, also of an account that was removed, or username")
    forget.add_argument("--yes", action="store_true", help="without it nothing is deleted")
    subcommands.add_parser("rekey", help="encrypt every token with the first key of TOKEN_KEY")
    return parser


def _digits(text: str) -> str:
    if not re.fullmatch(r"\d{1,30}", text, re.ASCII):
        raise argparse.ArgumentTypeError("accepted: a number of digits only")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"@?[A-Za-z0-9._]{1,30}", text):
        raise argparse.ArgumentTypeError("accepted: letters, digits, dots and underscores")
    return text


def _token() -> str:
    """Read the token from standard input. Arguments would show it in the shell's history and the process list."""
    token = (getpass.getpass("Token (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    try:
        token = unquoted(token)
    except ValueError as error:
        raise Refused(f"The token {error}.") from None
    if not re.fullmatch(r"[!-~]{8,}", token):
        raise Refused("Not a token: it has a space or a character outside ASCII, or is too short. Paste it again.")
    return token


def _login(given: str | None, token: str) -> str:
    implied = next((login for prefix, login in TOKEN_PREFIXES.items() if token.startswith(prefix)), None)
    if given and implied and given != implied:
        raise Refused(f"--login is {given}, but the token is one of the {implied} login.")
    if not (given or implied):
        raise Refused("The token's prefix does not show its login. Give --login facebook or --login instagram.")
    return str(given or implied)


def _named(row: AccountRow) -> str:
    return f"{row.username or 'unnamed'} ({row.id}, {row.login})"


if __name__ == "__main__":
    sys.exit(main())
