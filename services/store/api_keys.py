"""The API keys of the gateway, each as the SHA-256 of its text: the text itself is stored nowhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, or_, select, update

from services.store.account_tables import api_keys, change_counters
from services.store.database import Database
from services.store.upsert import Upsert, lies_ahead

COLUMNS = [column for column in api_keys.c if column.name != "mode"]


@dataclass(frozen=True, kw_only=True)
class ApiKeyRow:
    """One key; times in Unix seconds, `milli_credits` in thousandths of a credit, None where there is no limit."""

    id: str
    label: str
    digest: str = field(repr=False)
    scope: str
    accounts: frozenset[str] | None  # ids; None is every account
    created_at: float
    requests_per_minute: int | None = None
    milli_credits: int | None = None
    expires_at: float | None = None
    rotated_at: float | None = None
    revoked_at: float | None = None
    former_digest: str | None = field(default=None, repr=False)
    former_until: float | None = None
    last_used_at: float | None = None

    def is_valid(self, now: float) -> bool:
        """Return whether the key, or the one that it replaced, is accepted at a moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def former_ends_at(self) -> float | None:
        """The end of the key that it replaced: that of its overlap or its own, whichever comes first."""
        if self.former_until is None or self.expires_at is None:
            return self.former_until
        return min(self.former_until, self.expires_at)


class ApiKeyTable:
    """The keys of the gateway database. Every change raises the number of changes in the same transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(self) -> int:
        """Return the number of changes until now."""
        with self._database.read(before_readers=True) as connection:
            return (
                connection.execute(
                    select(change_counters.c.counter).where(change_counters.c.name == api_keys.name)
                ).scalar()
                or 0
            )

    def rows(self) -> list[ApiKeyRow]:
        """Return all keys, also those that are not valid any more, the oldest first."""
        with self._database.read(before_readers=True) as connection:
            found = connection.execute(select(*COLUMNS).order_by(api_keys.c.created_at, api_keys.c.id)).all()
        return [_row(each) for each in found]

    def has_valid(self, now: float) -> bool:
        """Return whether any key is accepted at a moment."""
        valid = api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
        with self._database.read() as connection:
            return bool(connection.execute(select(func.count()).select_from(api_keys).where(*valid)).scalar())

    def add(self, row: ApiKeyRow) -> None:
        """Add a key with a new id."""
        with self._database.write() as connection:
            connection.execute(insert(api_keys).values(vars(row) | {"accounts": _as_text(row.accounts)}))
            _count(connection)

    def change(self, key: str, values: Mapping[str, object]) -> bool:
        """Replace some fields of a key, by their names in `ApiKeyRow`; return whether it was not revoked."""
        stored = dict(values)
        if "accounts" in stored:
            stored["accounts"] = _as_text(cast("Collection[str] | None", stored["accounts"]))
        return self._update(key, stored)

    def rotate(self, key: str, digest: str, *, now: float, former_until: float, expires_at: float | None) -> bool:
        """Give a key another text; return whether it was not revoked.

        The text until now is valid until `former_until`, the expiry it had or the new one, whichever comes first.
        """
        latest = former_until if expires_at is None else min(former_until, expires_at)
        expiry = api_keys.c.expires_at  # as it was
        values = {
            "former_digest": api_keys.c.digest,
            "former_until": case((expiry < latest, expiry), else_=latest),
            "digest": digest,
            "rotated_at": now,
            "expires_at": expires_at,
        }
        return self._update(key, values)

    def undo_rotation(self, before: ApiKeyRow, digest: str) -> None:
        """Give a key the texts back that it had before it was rotated to another one, if that is still its own."""
        names = ("digest", "former_digest", "former_until", "rotated_at", "expires_at")
        self._update(before.id, {name: getattr(before, name) for name in names}, api_keys.c.digest == digest)

    def revoke(self, key: str, now: float) -> bool:
        """End a key and the one that it replaced; return whether it was not revoked before."""
        return self._update(key, {"revoked_at": now})

    def note_use(self, moments: Mapping[str, float]) -> None:
        """Write when keys (ids) were used last, unless that is later already; no process has to read that."""
        now = self._database.clock.timestamp()
        with self._database.write() as connection:
            # In one order, so that two processes never wait for each other.
            for key, moment in sorted(moments.items()):
                kept = api_keys.c.last_used_at
                before = or_(kept.is_(None), kept < moment, lies_ahead(kept))
                noted = update(api_keys).where(api_keys.c.id == key, before).values(last_used_at=moment)
                connection.execute(noted, {"now": now})

    def _update(self, key: str, values: Mapping[str, object], *conditions: ColumnElement[bool]) -> bool:
        with self._database.write() as connection:
            one = (api_keys.c.id == key) & api_keys.c.revoked_at.is_(None)
            changed = connection.execute(update(api_keys).where(one, *conditions).values(values)).rowcount
            _count(connection)
        return bool(changed)


COUNT = Upsert(change_counters, replace={"counter": change_counters.c.counter + 1})


def _count(connection: Connection) -> None:
    """Raise the number of changes. The row stays locked until the commit, so the numbers are in the order of commits.

    With a number of its own in each key, two changes at once could get the same one, and a process that has seen the
    first would never read the second.
    """
    COUNT.run(connection, {"name": api_keys.name, "counter": 1})


def _as_text(accounts: Collection[str] | None) -> str | None:
    return None if accounts is None else ",".join(sorted(accounts))


def _row(row: Row[tuple[object, ...]]) -> ApiKeyRow:
    values = dict(row._mapping)
    text = values.pop("accounts")
    accounts = None if text is None else frozenset(filter(None, str(text).split(",")))
    return ApiKeyRow(accounts=accounts, **{name: value for name, value in values.items() if isinstance(name, str)})
