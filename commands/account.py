"""`make account`: add, list, check and remove accounts in addition to that of `.env`; tokens are never shown."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import re
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial

from commands import Refused, UsageError
from commands.bulk_accounts import add_all, check_all, out_of, read_file
from commands.exit_status import end
from commands.migrate import migrate_or_explain
from commands.progress import Progress
from config import Config
from config_parsing import unquoted
from services.accounts.adding import AccountAdding, NewAccount
from services.accounts.current_tokens import fingerprint
from services.accounts.rekeying import Rekeying
from services.accounts.token_encryption import new_key
from services.clients.graph.logins import login_of
from services.clock import Clock
from services.days import our_time
from services.errors import InsightsError
from services.redaction import Redaction
from services.store.accounts import AccountRow
from services.wiring.container import Services
from services.wiring.provider_clients import graph_client, token_client

EXAMPLE = """\
examples:
  make account ARGS=key                                   a new TOKEN_KEY for .env
  make account ARGS="add --login facebook --page-id 100"  reads the token, finds id and username
  make account ARGS="add --login instagram"
  make account ARGS="add --file accounts.csv"             many: token,login,page_id,id,username
  make account ARGS="add --all-pages"                     the account of each page of a user
  make account ARGS=list
  make account ARGS="check --failed-only"
  make account ARGS="check corner.bakery"
  make account ARGS="remove corner.bakery --purge"
  make account ARGS="forget 17841400000000001 --yes"      also long after it was removed
"""


class AccountCommands:
    """The subcommands, each a method of its name; the store is created or migrated first."""

    def __init__(self, config: Config) -> None:
        migrate_or_explain(config)
        redaction = Redaction(config.secrets)
        self._config = config
        self._clock = Clock()
        self._services = Services.build(config, self._clock, redaction=redaction)
        self._table = self._services.store.accounts
        guard = self._services.guards["instagram"]
        self._adding = AccountAdding(
            graph_client(config, self._clock, guard=guard, redaction=redaction),
            token_client(config, self._clock, guard=guard, redaction=redaction),
            self._table,
            self._services.store.account_health,
            token_encryption=self._services.token_encryption,
            clock=self._clock,
            on_added=self._services.webhook_application.resume,
        )

    def add(self, options: argparse.Namespace) -> int:
        """Add an account, or replace its token, or add all of a file or of a user's pages."""
        self._services.token_encryption.keys()  # It raises without TOKEN_KEY, before the token is read.
        if options.file is not None:
            listed = read_file(options.file, login=options.login)
            return add_all(self._services, self._adding, listed, to_json=options.json)
        if options.all_pages:
            return self._add_pages(to_json=options.json)
        token = _token()
        login = _login(options.login, token)
        new = NewAccount(token, login, options.page_id or "", options.id or "", options.username or "")
        there = {row.id for row in self._table.rows()}
        row = self._adding.add(new, trusted=True)
        print(f"{'Replaced' if row.id in there else 'Added'}: {_named(row)}. Running gateways use it after 2 seconds.")
        if self._config.has_token_of({row.id}):
            print("It is also the account of .env. The token there is used until you remove it from .env.")
        return 0

    def _add_pages(self, *, to_json: bool) -> int:
        token = _token()
        if _login("facebook", token) != "facebook":
            raise UsageError("--all-pages needs a user token of the login with Facebook.")
        listed, without, is_complete = self._adding.pages_of(token)
        out = out_of(to_json=to_json)
        for page in without:
            print(f"-    page {page}: no Instagram account is shown. If it has one, grant its permissions.", file=out)
        if not is_complete:
            print("The token reaches more pages than were read. Add the others with --page-id.", file=out)
        if not listed:
            raise Refused("Behind this token there is no page with an Instagram account that it shows.")
        return add_all(self._services, self._adding, listed, to_json=to_json)

    def list(self, options: argparse.Namespace) -> int:
        """Print the accounts."""
        rows = self._table.rows()
        if options.json:
            listed = [
                {
                    "id": row.id,
                    "username": row.username or None,
                    "login": row.login,
                    "page_id": row.page_id or None,
                    "added_at": our_time(row.added_at),
                }
                for row in rows
            ]
            print(json.dumps(listed, indent=2))
            return 0
        for row in rows:
            added = our_time(row.added_at)
            print(f"{row.id:<20} {row.username or '?':<30} {row.login:<10} {added}  page {row.page_id or '-'}")
        print(f"{len(rows)} added in {self._config.providers} mode. The account of .env is not listed.")
        return 0

    def remove(self, options: argparse.Namespace) -> int:
        """Remove an account and its cached values; with `--purge` also its history."""
        row = self._row(options.account)
        self._table.remove(row.id)
        # That of the settings may be of the same account.
        self._services.store.account_tokens.forget(row.id, but=fingerprint(self._config.access_long_lived_token))
        self._services.store.account_troubles.forget(row.id)
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
        account = self._id_of(reference) if reference.isdigit() else self._row(reference).id
        if not options.yes:
            raise UsageError(f"This deletes everything of account {account}, permanently. Add --yes.")
        self._services.store.accounts.remove(account)
        self._services.store.cache_entries.forget(account)
        self._delete(account)
        if account == self._config.instagram_account_id:
            print("It is the account of .env: it is read again until you remove it from there.")
        return 0

    def _id_of(self, digits: str) -> str:
        """Return an id, which need not be in the table; a username of digits could be meant for one."""
        rows = self._table.rows()
        named = next((row.id for row in rows if row.username == digits), None)
        if named is not None and all(row.id != digits for row in rows):
            raise UsageError(f"{digits} is the username of account {named}. Give that id, or @{digits}.")
        return digits

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
        rows = [self._row(options.account)] if options.account else self._table.rows()
        if options.account:
            # A token that was refused is tried again, because a person asks for it.
            with suppress(InsightsError):
                self._services.token_refresh.check(rows[0].id, is_asked=True)
        return check_all(self._services, rows, failed_only=options.failed_only, to_json=options.json, named=_named)

    def rekey(self, options: argparse.Namespace) -> int:
        """Encrypt every token with the first key of TOKEN_KEY, or say how many are not; return 1 if any is not."""
        self._services.token_encryption.keys()  # It raises without TOKEN_KEY.
        store = self._services.store
        rekeying = Rekeying(self._table, store.account_tokens, self._services.token_encryption)
        progress = Progress(sys.stdout)
        if options.check:
            count = rekeying.count()
        else:
            count = rekeying.run(lambda done, total: progress.show("tokens", done, total, "encrypted again"))
        if count.closed:
            print(f"{count.closed} of {count.all_} were encrypted with a key that is not in TOKEN_KEY.")
            print("       next: add the key of that time to TOKEN_KEY, or add these accounts again.")
        if count.old:
            verb = "is" if count.old == 1 else "are"
            print(f"{count.old} of {count.all_} {verb} encrypted with an old key. Keep it in TOKEN_KEY.")
            print("       next: make account ARGS=rekey")
        if not count.old and not count.closed:
            verb = "is" if count.total == 1 else "are"
            print(f"{count.all_} {verb} encrypted with the first key of TOKEN_KEY.")
            print("Once every gateway and worker was restarted with it, check again; then remove the other keys.")
        return 1 if count.old or count.closed else 0

    def close(self) -> None:
        """Stop every thread and close the store."""
        self._services.close()

    def _row(self, reference: str) -> AccountRow:
        name = reference.removeprefix("@").lower()
        for row in self._table.rows():
            if reference == row.id or name == row.username:
                return row
        raise UsageError(f"There is no account {reference} in the table. `make account ARGS=list` shows all.")


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
    return end(partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    with closing(AccountCommands(Config.from_env())) as commands:
        return int(getattr(commands, options.command)(options))


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
    many = add.add_mutually_exclusive_group()
    many.add_argument("--file", help="add all accounts of a file (CSV or JSON lines), or of standard input: -")
    many.add_argument("--all-pages", action="store_true", help="add the account of each page of a Facebook user")
    add.add_argument("--json", action="store_true", help="with --file or --all-pages: the report as JSON")
    listing = subcommands.add_parser("list", help="print all accounts, without tokens")
    listing.add_argument("--json", action="store_true", help="for scripts")
    check = subcommands.add_parser("check", help="check with Instagram whether an account, or each, works")
    check.add_argument("account", nargs="?", help="id or username")
    check.add_argument("--failed-only", action="store_true", help="print the accounts only of which a check failed")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    remove = subcommands.add_parser("remove", help="remove an account and its cached values")
    remove.add_argument("account", help="id or username")
    remove.add_argument("--purge", action="store_true", help="also delete its history, permanently")
    forget = subcommands.add_parser("forget", help="delete everything that is kept of an account, permanently")
    forget.add_argument("account", help="id, also of an account that was removed, or username")
    forget.add_argument("--yes", action="store_true", help="without it nothing is deleted")
    rekey = subcommands.add_parser("rekey", help="encrypt every token with the first key of TOKEN_KEY")
    rekey.add_argument("--check", action="store_true", help="only say how many tokens are under an old key")
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
        raise UsageError(f"The token {error}.") from None
    if not re.fullmatch(r"[!-~]{8,}", token):
        raise UsageError("Not a token: it has a space or a character outside ASCII, or is too short. Paste it again.")
    return token


def _login(given: str | None, token: str) -> str:
    implied = login_of(token)
    if given and implied and given != implied:
        raise UsageError(f"--login is {given}, but the token is one of the {implied} login.")
    if not (given or implied):
        raise UsageError("The token's prefix does not show its login. Give --login facebook or --login instagram.")
    return str(given or implied)


def _named(row: AccountRow) -> str:
    return f"{row.username or 'unnamed'} ({row.id}, {row.login})"


if __name__ == "__main__":
    sys.exit(main())
