"""The API keys as each process knows them: in memory, read again within two seconds of each change."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress

from services.access.key_text import digest_of
from services.caller import Caller, Scope
from services.clock import Clock
from services.errors import BusyError
from services.executors import start_if_possible
from services.store.api_keys import ApiKeyRow, ApiKeyTable
from services.store.damaged_rows import is_moment
from services.store.database import DatabaseUnavailableError

log = logging.getLogger(__name__)

CHECK_AFTER = 1.25  # seconds without a check, after which a request checks itself
CHECK_WAIT = 0.5  # seconds that a request waits for a check
LOOKS_A_SECOND = 5  # for keys that are not known
MOST_PER_MINUTE, MOST_CREDITS = 1_000_000, 1_000_000  # that a key may have as its own limits
MAX_ABSENT = 1_000  # wrong keys that are remembered
USE_EVERY = 300.0  # seconds between two writes of when a key was used last

Known = Mapping[bytes, tuple[Caller, float]]
"""The caller by the digest of its key, and until when the key is valid (Unix seconds)."""


class AccessKeys:
    """The keys that are accepted. While the database is unavailable the last known ones are.

    Usually a key costs one look into a dictionary: the heartbeat checks every second whether keys have changed. Where
    there is no heartbeat yet, or it hangs, a request checks that, so that a revoked key ends in time in any process.
    """

    def __init__(self, table: ApiKeyTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Known | None = None  # None until the table was read
        self._changes = -1
        self._checked_at = -math.inf  # monotonic seconds, also of a check that failed
        self._is_failing = False  # whether the last check found no database, or is going on
        self._looks: deque[float] = deque(maxlen=LOOKS_A_SECOND)  # when unknown keys were looked for last
        self._absent: set[bytes] = set()  # digests that were looked for since the last change
        self._used: dict[str, float] = {}  # when each key (id) was used last here (Unix seconds)
        self._noted: dict[str, float] = {}  # the same, as it was written last

    def caller_of(self, key: str, now: float) -> Caller | None:
        """Return who sends a key at a moment (Unix seconds), or None where it is not accepted.

        Raises `BusyError` where the keys were never read, or a key is not known and cannot be looked for, because the
        database is unavailable: it may be a new one.
        """
        if self._clock.monotonic() - self._checked_at >= CHECK_AFTER:
            self._check_beside()
        digest = digest_of(key)
        found = (self._known or self._loaded()).get(digest) or self._look_for(digest)
        return self._valid_at(now, found)

    def note_use(self) -> None:
        """Write when keys were used last, of each every few minutes at most; raises `DatabaseUnavailableError`."""
        now = self._clock.timestamp()
        news = {
            key: moment
            for key, moment in list(self._used.items())
            if moment != self._noted.get(key) and not 0 <= now - self._noted.get(key, -math.inf) < USE_EVERY
        }
        if news:
            self._table.note_use(news)
            self._noted |= news

    def known_caller_of(self, key: str, now: float) -> Caller | None:
        """Return what `caller_of` would, if that is known without reading or waiting, else None."""
        if self._known is None or self._clock.monotonic() - self._checked_at >= CHECK_AFTER:
            return None
        return self._valid_at(now, self._known.get(digest_of(key)))

    def named(self, key: str, now: float) -> Caller | None:
        """Return the caller with a key (id), with its limits of now; None where the key is not accepted any more.

        Raises `BusyError` as `caller_of`.
        """
        if self._clock.monotonic() - self._checked_at >= CHECK_AFTER:
            self._check_beside()
        known = (self._known or self._loaded()).values()
        return next((caller for caller, until in known if caller.name == key and now < until), None)

    def check(self) -> None:
        """Read the keys again if they have changed; raises `DatabaseUnavailableError`."""
        with self._lock:
            self._check()

    def _valid_at(self, now: float, found: tuple[Caller, float] | None) -> Caller | None:
        """Return the caller whose key was found, if it is valid, and note that it was used."""
        if found is None or now >= found[1]:
            return None
        self._used[found[0].name] = now
        return found[0]

    def _check_beside(self) -> None:
        """Check on another thread, and wait a moment for it: a database that hangs must not hold up requests."""
        if not self._lock.acquire(blocking=False):
            return  # Another thread checks.
        checker = start_if_possible(self._check_and_release, name="api keys")
        if checker is None:
            self._lock.release()  # The next request tries again.
        else:
            checker.join(CHECK_WAIT)

    def _check_and_release(self) -> None:
        try:
            with suppress(DatabaseUnavailableError):
                self._check()
        finally:
            self._lock.release()

    def _loaded(self) -> Known:
        if self._known is None:
            with suppress(DatabaseUnavailableError):
                self.check()
        if self._known is None:
            raise _busy()
        return self._known

    def _look_for(self, digest: bytes) -> tuple[Caller, float] | None:
        """Look for a key that is not known: it may be new.

        A wrong key is looked for once, and all wrong keys together cost a few small queries a second. Requests that
        come together with a new key wait for the one that looks.
        """
        if digest in self._absent and not self._is_failing:
            return None  # The next check notices any change.
        if not self._lock.acquire(timeout=CHECK_WAIT):
            raise _busy()  # Another thread waits for the database.
        try:
            now, known = self._clock.monotonic(), self._known or {}
            may_look = len(self._looks) < LOOKS_A_SECOND or now - self._looks[0] >= 1
            if self._is_failing and not may_look:
                raise _busy()
            if digest not in known and (digest not in self._absent or self._is_failing) and may_look:
                self._looks.append(now)
                try:
                    self._check()
                except DatabaseUnavailableError:
                    raise _busy() from None
                known = self._known or {}
                if digest not in known and len(self._absent) < MAX_ABSENT:
                    self._absent.add(digest)
            return known.get(digest)
        finally:
            self._lock.release()

    def _check(self) -> None:
        self._checked_at = self._clock.monotonic()
        self._is_failing = True
        changes = self._table.changes()
        if changes != self._changes or self._known is None:
            # Read after their number: a change in between is read twice, and never missed.
            self._known = _callers(self._table.rows())
            self._changes = changes
            self._absent.clear()
        self._is_failing = False


def _busy() -> BusyError:
    return BusyError("The API keys cannot be read.", hint="Try again; /readyz says what is wrong.")


def _check_numbers(row: ApiKeyRow) -> None:
    """Raise `ValueError` for a number that no command stores: with a limit that is none, a key could do anything."""
    for number, least, most in (
        (row.requests_per_minute, 1, MOST_PER_MINUTE),
        (row.milli_credits, 0, MOST_CREDITS * 1000),
    ):
        if number is not None and (type(number) is not int or not least <= number <= most):
            raise ValueError(number)
    for moment in (row.expires_at, row.former_until):
        if moment is not None and not is_moment(moment):
            raise ValueError(moment)


def _callers(rows: Iterable[ApiKeyRow]) -> Known:
    known: dict[bytes, tuple[Caller, float]] = {}
    for row in rows:
        if row.revoked_at is not None:
            continue
        try:
            _check_numbers(row)
            caller = Caller(row.id, Scope(row.scope), row.accounts, row.requests_per_minute, row.milli_credits)
            digests = [bytes.fromhex(row.digest), bytes.fromhex(row.former_digest or "")]
        except (TypeError, ValueError):
            log.error("An API key of the table cannot be read, and is not accepted", extra={"key": row.id})
            continue
        until = math.inf if row.expires_at is None else row.expires_at
        known[digests[0]] = caller, until
        if (former_until := row.former_ends_at) is not None:
            known[digests[1]] = caller, former_until
    return known
