"""`make account`: add, list, check and remove the accounts beside the one of `.env`; tokens are never shown."""

from __future__ import annotations

import argparse
import getpass
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from commands.doctor import say
from config import TOKEN_PREFIXES, Config, ConfigError
from services import Services, graph_client
from services.clients.graph import Account, GraphClient
from services.clock import Clock
from services.days import our_time
from services.errors import InsightsError
from services.redaction import Redaction
from services.store import AccountRow, SchemaError, StoreAway
from services.vault import new_key

EXAMPLE = """\
examples:
  make account ARGS=key                                   a new TOKEN_KEY for .env
  make account ARGS="add --login facebook --page-id 100"  asks for the token, finds id and username
  make account ARGS="add --login instagram"
  make account ARGS=list
  make account ARGS="check corner.bakery"
  make account ARGS="remove corner.bakery --purge"
"""


class Refused(Exception):
    """Something is missing or wrong; the text says what to do."""


class Desk:
    """Does what an operator asks for."""

    def __init__(self, config: Config) -> None:
        redaction = Redaction(config.secrets)
        self._config = config
        self._clock = Clock()
        self._services = Services.build(config, self._clock, redaction=redaction)
        self._graph: GraphClient = graph_client(config, self._clock, redaction=redaction)
        self._table = self._services.store.accounts
        self._services.store.check_versions()

    def add(self, asked: argparse.Namespace) -> int:
        """Add an account, or replace its token; what is not given is asked of Instagram."""
        self._services.vault.keys()  # Without a key nobody need paste a token.
        token = _token()
        login = _login(asked.login, token)
        page_id = asked.page_id or ""
        found = asked.id or self._id(token, login, page_id)
        account = Account(found, token, login)
        username = (asked.username or self._username(account)).removeprefix("@").lower()
        there = {row.id for row in self._table.rows()}
        sealed = self._services.vault.seal(token)
        row = AccountRow(found, username, login, page_id, sealed, self._clock.now().timestamp())
        self._table.put(row)
        print(f"{'Replaced' if found in there else 'Added'}: {_named(row)}. Running gateways know it in 2 seconds.")
        if found == self._config.instagram_account_id:
            print("It is the account of .env as well, whose token goes on being used until it is taken out there.")
        return 0

    def list(self, _: argparse.Namespace) -> int:
        """Print the accounts."""
        rows = self._table.rows()
        for row in rows:
            added = our_time(datetime.fromtimestamp(row.added_at, UTC))
            print(f"{row.id:<20} {row.username or '?':<30} {row.login:<10} {added}  page {row.page_id or '-'}")
        print(f"{len(rows)} added; the one of .env, if there is one, is not among them.")
        return 0

    def remove(self, asked: argparse.Namespace) -> int:
        """Remove an account and what is remembered of it; its history only if that is wanted."""
        row = self._row(asked.account)
        self._table.remove(row.id)
        self._services.store.memories.forget(row.id)
        print(f"Removed: {_named(row)}. Running gateways forget it in 2 seconds.")
        if asked.purge:
            print(f"Deleted for good: {self._services.store.history.purge(row.id)} numbers of its history.")
        else:
            print("Its history is kept; `--purge` deletes it.")
        return 0

    def check(self, asked: argparse.Namespace) -> int:
        """Ask Instagram about each account; return 1 if something is wrong with one."""
        failed = False
        for row in [self._row(asked.account)] if asked.account else self._table.rows():
            print(f"{_named(row)}:")
            try:
                account = Account(row.id, self._services.vault.open(row.token), row.login)
            except InsightsError as error:
                print(f"FAIL token: {error.message}\n       next: {error.hint}")
                failed = True
                continue
            for check in self._services.account_checks.of(account, row.page_id):
                say(check)
                failed = failed or check.ok is False
        return 1 if failed else 0

    def rekey(self, _: argparse.Namespace) -> int:
        """Encrypt every token with the first key of TOKEN_KEY."""
        rows = self._table.rows()
        for row in rows:
            self._table.put(AccountRow(**vars(row) | {"token": self._services.vault.renewed(row.token)}))
        print(f"{len(rows)} tokens are encrypted with the first key; the others may go from TOKEN_KEY.")
        return 0

    def close(self) -> None:
        """End every thread, and let go of the store."""
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
        """Read the account, so that no token is stored which does not read it."""
        if account.login == "instagram" and (own := self._graph.own_account(account.token)) != account.id:
            raise Refused(f"The token is of account {own}, not of {account.id}. Leave --id out.")
        return str(self._graph.profile(account).get("username") or "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; say what is wrong in one sentence, without a traceback."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.what is None:
        parser.print_help()
        return 0
    if asked.what == "key":
        print(f"TOKEN_KEY={new_key()}")
        return 0
    logging.disable(logging.WARNING)  # What would be logged is told.
    desk = None
    try:
        desk = Desk(Config.from_env())
        return int(getattr(desk, asked.what)(asked))
    except InsightsError as error:
        print("\n".join(filter(None, [error.message, error.hint])), file=sys.stderr)
    except StoreAway as error:
        print(f"The store is away: {error}", file=sys.stderr)
    except (ConfigError, SchemaError, Refused) as error:
        print(error, file=sys.stderr)
    finally:
        if desk is not None:
            desk.close()
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make account", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = parser.add_subparsers(dest="what", metavar="key, add, list, check, remove or rekey")
    whats.add_parser("key", help="print a new TOKEN_KEY")
    add = whats.add_parser("add", help="add an account, or replace its token, which is read from standard input")
    add.add_argument("--login", choices=("facebook", "instagram"), help="by default what the token begins with")
    add.add_argument("--page-id", type=_digits, help="the linked page (login with Facebook)")
    add.add_argument("--id", type=_digits, help="by default found by the page or the token")
    add.add_argument("--username", type=_name, help="by default asked of Instagram")
    whats.add_parser("list", help="print all accounts, without tokens")
    check = whats.add_parser("check", help="ask Instagram whether an account, or each, works")
    check.add_argument("account", nargs="?", help="id or username")
    remove = whats.add_parser("remove", help="remove an account and what is remembered of it")
    remove.add_argument("account", help="id or username")
    remove.add_argument("--purge", action="store_true", help="delete its history too, for good")
    whats.add_parser("rekey", help="encrypt every token with the first key of TOKEN_KEY")
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
    """Read the token, never from the arguments: those stand in the shell's history and the list of processes."""
    token = (getpass.getpass("Token (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not re.fullmatch(r"[!-~]{8,}", token):
        raise Refused("This is no token: it has a space or a character outside ASCII, or is too short. Paste it again.")
    return token


def _login(given: str | None, token: str) -> str:
    told = next((login for prefix, login in TOKEN_PREFIXES.items() if token.startswith(prefix)), None)
    if given and told and given != told:
        raise Refused(f"--login is {given}, but the token is one of the {told} login.")
    if not (given or told):
        raise Refused("The token does not tell its login. Give --login facebook or --login instagram.")
    return str(given or told)


def _named(row: AccountRow) -> str:
    return f"{row.username or 'unnamed'} ({row.id}, {row.login})"


if __name__ == "__main__":
    sys.exit(main())
