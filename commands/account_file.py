"""Reads the accounts to add from a file, as CSV or as lines of JSON; no message shows a token."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from commands import UsageError
from services.accounts.adding import NewAccount
from services.clients.graph.logins import login_of
from services.rendering.plurals import counted

COLUMNS = ("token", "login", "page_id", "id", "username")
LOGINS = ("facebook", "instagram")
MOST_FAULTS = 50  # that one message lists
DELIMITERS = ",;\t"
TOKEN = re.compile(r"[!-~]{8,}")
DIGITS = re.compile(r"\d{1,30}", re.ASCII)
NAME = re.compile(r"@?[A-Za-z0-9._]{1,30}")
ROUNDED = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)

Line = tuple[int, Mapping[str, str]]


class FileError(UsageError):
    """The file cannot be used; the text lists every line that is wrong, and what is accepted."""


def accounts_of(text: str, *, login: str | None = None) -> list[NewAccount]:
    """Return the accounts of a file; `login` is that of lines which give none. Raises `FileError`."""
    faults: list[str] = []
    found: list[NewAccount] = []
    seen: dict[tuple[str, str], int] = {}
    for number, fields in _lines(text.removeprefix("\ufeff"), faults):
        try:
            account = _account(number, fields, login)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        keys = [(name, value) for name in ("id", "page_id") if (value := getattr(account, name))]
        for key in keys or [("token", account.token)]:
            if (earlier := seen.setdefault(key, number)) != number:
                faults.append(f"line {number}: it has the same {key[0]} as line {earlier}")
        found.append(account)
    if faults:
        shown = [*faults[:MOST_FAULTS], *([f"and {more} more"] if (more := len(faults) - MOST_FAULTS) > 0 else [])]
        raise FileError("\n".join(["Nothing was added: the file has faults.", *shown]))
    if not found:
        raise FileError(f"The file has no account. Accepted: CSV with the columns {', '.join(COLUMNS)}, or JSON lines.")
    return found


def _lines(text: str, faults: list[str]) -> Iterator[Line]:
    """Yield the number and the fields of each line that is not empty."""
    if not text.strip():
        return iter(())
    return _json_lines(text, faults) if text.lstrip().startswith("{") else _csv_lines(text, faults)


def _json_lines(text: str, faults: list[str]) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except ValueError:
            faults.append(f"line {number}: it is no JSON")
            continue
        if not isinstance(fields, dict):
            faults.append(f"line {number}: it is no JSON object")
            continue
        unknown = _unknown(list(fields))
        wrong = [name for name in COLUMNS if not isinstance(fields.get(name), str | int | None)]
        if found := [*filter(None, [unknown]), *([f"{', '.join(wrong)}: not a text"] if wrong else [])]:
            faults.append(f"line {number}: {'; '.join(found)}")
        else:
            yield number, {name: "" if value is None else str(value).strip() for name, value in fields.items()}


def _csv_lines(text: str, faults: list[str]) -> Iterator[Line]:
    head = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if unknown := _unknown(names):
            # Without a head its first line is one of values, and one of them is a token.
            faults.append(f"line 1: {unknown}" if "token" in names else f"line 1: it has to be {','.join(COLUMNS)}")
            return
        if "token" not in names:
            faults.append("line 1: the column token is missing")
            return
        before = reader.line_num
        for row in reader:
            number, before = before + 1, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                faults.append(
                    f"line {number}: it has {counted(len(row), 'value')}, and the first line has {len(names)}"
                )
                continue
            yield number, {name: cell.strip() for name, cell in zip(names, row, strict=True)}
    except csv.Error:
        faults.append(f"line {reader.line_num}: its quotes are wrong")


def _unknown(names: list[str]) -> str | None:
    if wrong := [name for name in names if name not in COLUMNS]:
        return "; ".join([*map(_no_column, wrong), f"accepted: {', '.join(COLUMNS)}"])
    if len(set(names)) < len(names):
        return "a column is there twice"
    return None


def _no_column(name: str) -> str:
    near = get_close_matches(name.lower(), COLUMNS, 1)
    shown = name if len(name) <= len("username") + 8 and NAME.fullmatch(name) else "a name"
    return f"{shown} is no column{f', probably {near[0]}' if near else ''}"


def _account(number: int, fields: Mapping[str, str], login: str | None) -> NewAccount:
    """Return the account of a line; raise `ValueError` with all that is wrong, without a value that may be secret."""
    token = fields.get("token", "")
    faults = []
    if not TOKEN.fullmatch(token):
        faults.append("token is missing" if not token else "token has a space, a character outside ASCII, or is cut")
    ids = {name: fields.get(name, "").removeprefix("'") for name in ("page_id", "id")}  # as our own CSV protects ids
    faults += _faults_of_ids(ids)
    if (username := fields.get("username", "")) and not NAME.fullmatch(username):
        faults.append("username has to be letters, digits, dots and underscores")
    given, implied = fields.get("login", "").lower() or None, login_of(token)
    chosen = given or implied or login
    if given not in {None, *LOGINS}:
        faults.append(f"login has to be {' or '.join(LOGINS)}")
    elif given and implied and given != implied:
        faults.append(f"login is {given}, but the token is one of the {implied} login")
    elif chosen is None and token:
        faults.append("login is missing, and the token's prefix does not show it")
    if chosen == "facebook" and not (ids["page_id"] or ids["id"]):
        faults.append("page_id or id is missing, of which the login with Facebook needs one")
    if faults or chosen is None:
        raise ValueError("; ".join(faults))
    return NewAccount(token, chosen, ids["page_id"], ids["id"], username.removeprefix("@").lower(), number)


def _faults_of_ids(ids: Mapping[str, str]) -> Iterator[str]:
    for name, value in ids.items():
        if ROUNDED.fullmatch(value):
            yield f"{name} was rounded by a spreadsheet, format the column as text and enter it again"
        elif value and not DIGITS.fullmatch(value):
            yield f"{name} has to be a number of digits only"
