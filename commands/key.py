"""`make key`: create, list, change, rotate and revoke the API keys of callers; a key is shown once, when it is made."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial

from commands import Refused, UsageError
from commands.exit_status import end, kind_of
from commands.migrate import migrate_or_explain
from config import Config, ConfigError
from services.access import start
from services.access.key_text import digest_of, new_id, new_text
from services.access.keys import MOST_CREDITS, MOST_PER_MINUTE
from services.caller import Scope
from services.clock import Clock
from services.days import our_time
from services.errors import InsightsError
from services.rendering.plurals import counted, in_digits
from services.store.api_keys import ApiKeyRow
from services.wiring.container import Services

DAY = 86_400.0  # seconds
UNITS = {"m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
LONGEST = 3650 * DAY  # of an expiry or an overlap
OVERLAP = "24h"
# Nothing that breaks a line, turns the direction of what follows, or cannot be written as UTF-8.
LABEL = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]{1,100}")
ALL, DEFAULT = "all", "default"  # every account; of `change`: no limit of the key's own
EXAMPLE = """\
examples:
  make key ARGS="create dashboard"                        reads every account, never expires
  make key ARGS="create shop --accounts corner.bakery,17841400000000001 --expires 90d"
  make key ARGS="create partner --requests-per-minute 120 --credits 25"
  make key ARGS="create operator --scope admin"
  make key ARGS=list
  make key ARGS="change k7x2m9q4ab --credits 50"          what is not named stays as it is
  make key ARGS="rotate k7x2m9q4ab --overlap 48h"         the key until now works for 48 hours more
  make key ARGS="revoke k7x2m9q4ab"                       ends it within 2 seconds
scopes, each with those before it:
  read      what is kept and what has expired
  refresh   also: fetch again what is still fresh
  admin     also: what concerns the gateway as a whole
"""


class KeyCommands:
    """The subcommands, each a method of its name; the store is created or migrated first."""

    def __init__(self, config: Config) -> None:
        migrate_or_explain(config)
        self._config = config
        self._clock = Clock()
        self._services = Services.build(config, self._clock)
        self._table = self._services.store.api_keys

    def create(self, options: argparse.Namespace) -> int:
        """Create a key, and print it for the only time."""
        now = self._clock.timestamp()
        accounts = None if options.accounts == ALL else self._accounts(options.accounts)
        key = new_id()
        text = new_text(key)
        row = ApiKeyRow(
            id=key,
            label=options.label,
            digest=digest_of(text).hex(),
            scope=options.scope,
            accounts=accounts,
            created_at=now,
            requests_per_minute=options.requests_per_minute,
            milli_credits=None if options.credits is None else round(options.credits * 1000),
            expires_at=_expiry(options.expires, now),
        )
        alike = [each.id for each in self._table.rows() if each.label == row.label and each.is_valid(now)]
        self._table.add(row)
        try:
            self._show_once(row, text, as_json=options.json)
        except OSError as error:
            self._table.revoke(row.id, now)
            raise Refused(f"The key could not be shown, so it was revoked: {error}.") from None
        if alike:
            print(f"Note: {', '.join(alike)} with the same label stays valid beside it.", file=sys.stderr)
        return 0

    def list(self, options: argparse.Namespace) -> int:
        """Print all keys, without their texts."""
        rows, now = self._table.rows(), self._clock.timestamp()
        if options.json:
            print(json.dumps([self._as_json(row, now) for row in rows], indent=2))
            return 0
        for row in rows:
            print(self._line(row, now))
        valid = sum(row.is_valid(now) for row in rows)
        print(f"{valid} of {counted(len(rows), 'key is', 'keys are')} valid in {self._config.providers} mode.")
        return 0

    def change(self, options: argparse.Namespace) -> int:
        """Change what a key may do; its text stays."""
        row, now = self._row(options.key), self._clock.timestamp()
        if row.revoked_at is not None:
            raise Refused(f"The key {row.id} was revoked. `make key ARGS=create` makes a new one.")
        values = self._changes(options, now)
        if not values:
            raise UsageError("Nothing to change. `make key ARGS='change --help'` lists what can be.")
        if "expires_at" in values and not row.is_valid(now):
            # Its text may have been left lying about since, because it was of no use any more.
            raise Refused(
                f"The key {row.id} has expired, and its text stays so. "
                f"`make key ARGS='rotate {row.id} --expires {options.expires}'` gives it a new one."
            )
        if not self._table.change(row.id, values):
            raise Refused(f"The key {row.id} was revoked meanwhile.")
        changed = self._row(row.id)
        if options.json:
            print(json.dumps(self._as_json(changed, now), indent=2))
        else:
            print(f"Changed: {self._line(changed, now)}. Running gateways go by it within 2 seconds.")
        return 0

    def rotate(self, options: argparse.Namespace) -> int:
        """Give a key a new text, and print it; the one until now stays valid for the overlap."""
        row, now = self._row(options.key), self._clock.timestamp()
        if row.revoked_at is not None:
            raise Refused(f"The key {row.id} was revoked. `make key ARGS=create` makes a new one.")
        expires_at = row.expires_at if options.expires is None else _expiry(options.expires, now)
        if expires_at is not None and expires_at <= now:
            raise UsageError(f"The key {row.id} has expired. Give it another end, such as --expires 90d.")
        text, until = new_text(row.id), now + options.overlap
        was_pending = row.former_ends_at is not None and row.former_ends_at > now
        digest = digest_of(text).hex()
        if not self._table.rotate(row.id, digest, now=now, former_until=until, expires_at=expires_at):
            raise Refused(f"The key {row.id} was revoked meanwhile.")
        rotated = self._row(row.id)
        try:
            self._show_once(rotated, text, as_json=options.json)
        except OSError as error:
            # Else the next rotation would end the text that is in use, in favour of one that was never seen.
            self._table.undo_rotation(row, digest)
            raise Refused(f"The new text could not be shown, so the key {row.id} is as it was: {error}.") from None
        if not options.json:
            ends_at = rotated.former_ends_at or now
            state = f"is valid until {our_time(ends_at)}" if ends_at > now else "has ended"
            print(f"The key until now {state}.", file=sys.stderr)
            if was_pending:
                print("The one before it, which was still valid, has ended.", file=sys.stderr)
        return 0

    def revoke(self, options: argparse.Namespace) -> int:
        """End a key, with the one that it replaced."""
        row, now = self._row(options.key), self._clock.timestamp()
        done = self._table.revoke(row.id, now)
        if options.json:
            print(json.dumps(self._as_json(self._row(row.id), now), indent=2))
        elif done:
            print(f"Revoked: {row.id} ({row.label}). Running gateways refuse it within 2 seconds.")
        else:
            print(f"The key {row.id} ({row.label}) was revoked before.")
        if done and not self._config.sandbox and not self._config.allow_anonymous and not self._table.has_valid(now):
            print("It was the last valid key: no gateway starts without one.", file=sys.stderr)
        return 0

    def check(self, _: argparse.Namespace) -> int:
        """Say whether a gateway may start with these keys; return 1 if not."""
        if (why := start.why_not(self._table, self._config, self._clock.timestamp())) is not None:
            raise Refused(str(ConfigError([why])))
        return 0

    def close(self) -> None:
        """Stop every thread and close the store."""
        self._services.close()

    def _changes(self, options: argparse.Namespace, now: float) -> dict[str, object]:
        """Return the fields that are named, as they are stored."""
        given = {
            "label": options.label,
            "scope": options.scope,
            "accounts": DEFAULT if options.accounts == ALL else options.accounts and self._accounts(options.accounts),
            "requests_per_minute": options.requests_per_minute,
            "milli_credits": options.credits if options.credits in {None, DEFAULT} else round(options.credits * 1000),
            "expires_at": options.expires and (_expiry(options.expires, now) or DEFAULT),
        }
        return {name: None if value == DEFAULT else value for name, value in given.items() if value is not None}

    def _accounts(self, references: Sequence[str]) -> frozenset[str]:
        return frozenset(map(self._account, references))

    def _line(self, row: ApiKeyRow, now: float) -> str:
        accounts = "all accounts" if row.accounts is None else counted(len(row.accounts), "account")
        limits = [f"{row.requests_per_minute}/min"] if row.requests_per_minute is not None else []
        limits += [f"{in_digits(row.milli_credits / 1000)} credits a month"] if row.milli_credits is not None else []
        used = f"used {our_time(row.last_used_at)}" if row.last_used_at is not None else "not used"
        allowed = ", ".join([row.scope, accounts, *limits])
        return f"{row.id}  {_state(row, now):<38}  {used:<25}  {row.label:<20}  {allowed}"

    def _row(self, key: str) -> ApiKeyRow:
        for row in self._table.rows():
            if row.id == key:
                return row
        labelled = [row.id for row in self._table.rows() if row.label == key]
        hint = f" The key with that label is {labelled[0]}." if len(labelled) == 1 else ""
        raise UsageError(f"There is no key {key!r}.{hint} `make key ARGS=list` shows the ids.")

    def _account(self, reference: str) -> str:
        """Return the id of an account; an id need not be here yet, a username has to be."""
        if reference.isdigit():
            rows = self._services.store.accounts.rows()
            if reference in {row.id for row in rows} | {self._config.instagram_account_id}:
                return reference
            if named := [row.id for row in rows if row.username == reference]:
                return named[0]
            print(f"Note: account {reference} is not here yet; `make account` adds it.", file=sys.stderr)
            return reference
        try:
            return self._services.accounts.find(reference).id
        except InsightsError as error:
            raise kind_of(error)(
                f"There is no account {reference}: {error.message} `make account ARGS=list` shows all; "
                "an id may be given before its account is added."
            ) from None

    def _show_once(self, row: ApiKeyRow, text: str, *, as_json: bool) -> None:
        if as_json:
            print(json.dumps(self._as_json(row, self._clock.timestamp()) | {"key": text}, indent=2), flush=True)
            return
        # Alone on its line, and the only line on standard output that a script needs.
        print(text, flush=True)
        accounts = "all accounts" if row.accounts is None else f"the accounts {', '.join(sorted(row.accounts))}"
        expiry = "never expires" if row.expires_at is None else f"expires at {our_time(row.expires_at)}"
        print(
            f"This is the key {row.id} ({row.label}): {row.scope}, {accounts}; it {expiry}.\n"
            f"It is shown this once and stored as a digest only. Send it as `Authorization: Bearer KEY`. "
            f"It works in {self._config.providers} mode, at once.",
            file=sys.stderr,
        )

    def _as_json(self, row: ApiKeyRow, now: float) -> dict[str, object]:
        return {
            "id": row.id,
            "label": row.label,
            "mode": self._config.providers,
            "valid": row.is_valid(now),
            "scope": row.scope,
            "accounts": None if row.accounts is None else sorted(row.accounts),
            "requests_per_minute": row.requests_per_minute,
            "credits_per_month": None if row.milli_credits is None else row.milli_credits / 1000,
            "created_at": our_time(row.created_at),
            "expires_at": _time(row.expires_at),
            "rotated_at": _time(row.rotated_at),
            "former_key_until": _time(row.former_ends_at),
            "revoked_at": _time(row.revoked_at),
            "last_used_at": _time(row.last_used_at),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; print a failure as one sentence, without a traceback."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    logging.disable(logging.WARNING)  # The output says the same.
    return end(partial(_run, options))


def _run(options: argparse.Namespace) -> int:
    with closing(KeyCommands(Config.from_env())) as commands:
        return int(getattr(commands, options.command)(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make key", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subcommands = parser.add_subparsers(dest="command", metavar="create, list, change, rotate, revoke or check")
    create = subcommands.add_parser("create", help="create a key and print it")
    create.add_argument("label", type=_label, help="for whom or what the key is")
    create.add_argument("--scope", choices=[scope.value for scope in Scope], default=Scope.READ.value)
    create.add_argument(
        "--accounts", type=_references, default=ALL, help=f"ids or usernames, comma-separated; default: `{ALL}`"
    )
    create.add_argument("--expires", type=_end, help="90d, 12h or 2027-01-31 (UTC); default: never")
    create.add_argument("--requests-per-minute", type=_rate, help="default: REQUESTS_PER_MINUTE")
    create.add_argument("--credits", type=_credits, help="Modash credits in a calendar month; default: no limit")
    change = subcommands.add_parser("change", help="change what a key may do; its text stays")
    change.add_argument("key", help="id of the key")
    change.add_argument("--label", type=_label)
    change.add_argument("--scope", choices=[scope.value for scope in Scope])
    change.add_argument("--accounts", type=_references, help=f"ids or usernames, comma-separated, or `{ALL}`")
    change.add_argument("--expires", type=_end, help="90d, 12h, 2027-01-31 (UTC) or never")
    change.add_argument("--requests-per-minute", type=_or_default(_rate), help=f"or `{DEFAULT}`: REQUESTS_PER_MINUTE")
    change.add_argument("--credits", type=_or_default(_credits), help=f"in a calendar month, or `{DEFAULT}`: no limit")
    rotate = subcommands.add_parser("rotate", help="print a new text for a key")
    rotate.add_argument("key", help="id of the key")
    rotate.add_argument("--overlap", type=_duration, default=OVERLAP, help="how long both work; default: %(default)s")
    rotate.add_argument("--expires", type=_end, help="another end, also `never`; default: as it was")
    revoke = subcommands.add_parser("revoke", help="end a key")
    revoke.add_argument("key", help="id of the key")
    listing = subcommands.add_parser("list", help="print all keys, without their texts")
    for each in (create, change, rotate, revoke, listing):
        each.add_argument("--json", action="store_true", help="for scripts")
    subcommands.add_parser("check", help="say whether a gateway may start with these keys")
    return parser


def _label(text: str) -> str:
    label = text.strip()
    if not LABEL.fullmatch(label):
        raise argparse.ArgumentTypeError("accepted: 1 to 100 characters on one line")
    return label


def _references(text: str) -> list[str] | str:
    parts = [part.lower() for part in text.split(",") if part]
    if parts == [ALL]:
        return ALL
    if ALL in parts:
        # Neither is guessed: a key for one account too many shows what it should not.
        raise argparse.ArgumentTypeError(
            f"`{ALL}` stands alone; accepted: `{ALL}`, or ids or usernames, comma-separated (`@{ALL}` is a username)"
        )
    references = [part.removeprefix("@") for part in parts]
    if not references or not all(re.fullmatch(r"[a-z0-9._]{1,30}", part) for part in references):
        raise argparse.ArgumentTypeError(f"accepted: ids or usernames, comma-separated, or `{ALL}`")
    return references


def _rate(text: str) -> int:
    if not re.fullmatch(r"\d{1,7}", text, re.ASCII) or not 1 <= int(text) <= MOST_PER_MINUTE:
        raise argparse.ArgumentTypeError(f"accepted: 1 to {MOST_PER_MINUTE}")
    return int(text)


def _credits(text: str) -> float:
    if not re.fullmatch(r"\d{1,7}(\.\d{1,3})?", text, re.ASCII) or float(text) > MOST_CREDITS:
        raise argparse.ArgumentTypeError(f"accepted: 0 to {MOST_CREDITS}, in thousandths; 0 allows no report")
    return float(text)


def _or_default(read: Callable[[str], float]) -> Callable[[str], float | str]:
    """Return a reader that also takes the word for no limit of the key's own."""

    def reader(text: str) -> float | str:
        try:
            return text if text == DEFAULT else read(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; or `{DEFAULT}`") from None

    return reader


def _duration(text: str) -> float:
    matched = re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII)
    seconds = int(matched[1]) * UNITS[matched[2]] if matched else None
    if text == "0":
        return 0.0
    if seconds is None or seconds > LONGEST:
        raise argparse.ArgumentTypeError("accepted: a number with m, h, d or w, such as 24h or 90d; at most 3650d")
    return seconds


def _end(text: str) -> str:
    if text == "never" or re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        try:
            date.fromisoformat(text) if text != "never" else None
        except ValueError:
            raise argparse.ArgumentTypeError("there is no such day") from None
        return text
    try:
        seconds = _duration(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or a day such as 2027-01-31, or `never`") from None
    if not seconds:
        raise argparse.ArgumentTypeError("a key that ends at once is of no use; accepted: a time from 1m on")
    return text


def _expiry(text: str | None, now: float) -> float | None:
    """Return the end of a key; a day ends at its midnight (UTC)."""
    if text is None or text == "never":
        return None
    if "-" not in text:
        return now + _duration(text)
    end = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC).timestamp() + DAY
    if end - now > LONGEST + DAY:
        raise UsageError(f"--expires {text} is too late. Accepted: a day within 3650 days, or `never`.")
    if end <= now:
        raise UsageError(f"--expires {text} is over. Accepted: a day to come, or a time such as 90d.")
    return end


def _state(row: ApiKeyRow, now: float) -> str:
    if row.revoked_at is not None:
        return f"revoked {our_time(row.revoked_at)}"
    if row.expires_at is None:
        return "valid"
    return f"{'valid until' if row.is_valid(now) else 'expired'} {our_time(row.expires_at)}"


def _time(moment: float | None) -> str | None:
    return None if moment is None else our_time(moment)


if __name__ == "__main__":
    sys.exit(main())
