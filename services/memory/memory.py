"""recall: what is kept if it is fresh, else what one caller fetches while all others wait for it.

- fresh: from this process, else from the store
- expired, within its grace: at once, and fetched anew in the background
- older, or absent: one thread of one process fetches (a flight), everybody else waits for it
- not fetched: the last good value for up to seven days, marked stale; without one, the failure
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from time import monotonic

from services.clock import Clock
from services.errors import BusyError, ProviderError
from services.memory import asking
from services.memory.fetching import Errand, Fetch, Fetching, Outcome
from services.memory.flights import Flights
from services.memory.pulse import Pulse
from services.memory.records import Memo, Records
from services.memory.rules import Json, Rule
from services.store import Store
from services.store.memories import Slot

PATIENCE = 2.0  # seconds that somebody waits for a newer value where an old one is kept

Found = dict[Slot, Memo | ProviderError]


class Memory:
    """What is remembered of all accounts, in this process and in the store."""

    def __init__(
        self, store: Store, clock: Clock, *, may_refresh: Callable[[str], bool], redact: Callable[[str], str]
    ) -> None:
        self._clock = clock
        self._may_refresh = may_refresh
        self._records = Records(store.memories, clock, redact=redact)
        self._flights = Flights(store.memories, uuid.uuid4().hex)
        self._fetching = Fetching(self._records, self._flights, clock)
        self.pulse = Pulse(store, self._flights, self.forget)

    def recall(self, account: str, key: str, rule: Rule, fetch: Callable[[Memo | None], Outcome]) -> Memo:
        """Return the one value of a key; `fetch` gets what is kept of it. Raises the failure where nothing is kept."""
        slot = Slot(key)
        found = self.recall_all(account, {slot: rule}, lambda _slots, kept: {slot: fetch(kept.get(slot))})[slot]
        if isinstance(found, ProviderError):
            raise found
        return found

    def recall_all(self, account: str, rules: Mapping[Slot, Rule], fetch: Fetch) -> Found:
        """Return for each slot what is remembered or fetched of it, or the failure where there is neither.

        Raises `BusyError` if it would have to wait and may not, and something is not kept.
        """
        self.pulse.start()
        request = asking.current.get()
        not_before = request.not_before if request else None
        errand = Errand(account, rules, fetch, not_before or 0.0)
        kept = self._records.look(account, rules)
        now = self._clock.now().timestamp()
        found: Found = {}
        absent = []
        for slot, rule in rules.items():
            memo = kept.get(slot)
            if memo is None or errand.is_outdated(memo) or now >= memo.expires_at + rule.grace(memo.value):
                absent.append(slot)
            else:
                found[slot] = memo
        stale = [slot for slot, memo in kept.items() if slot in found and memo.stale]
        if stale and self._may_refresh(account):
            self._fetching.refresh(errand, stale)
        if absent:
            found |= self._with_newer(errand, absent, kept)
        return found

    def renew(self, account: str, key: str, rule: Rule, fetch: Callable[[Memo | None], Outcome]) -> None:
        """Fetch the one value of a key in the background, unless somebody does, or it could not be had just now."""
        self.pulse.start()
        slot = Slot(key)
        errand = Errand(account, {slot: rule}, lambda _slots, kept: {slot: fetch(kept.get(slot))})
        self._fetching.refresh(errand, [slot])

    def peek(self, account: str, rules: Mapping[Slot, Rule]) -> dict[Slot, Memo]:
        """Return what is fresh of some slots, without fetching anything."""
        found = self._records.look(account, rules)
        return {slot: memo for slot, memo in found.items() if not memo.stale}

    def note(self, account: str, values: Mapping[Slot, tuple[Json, Rule]]) -> None:
        """Remember what was learnt in passing."""
        now = self._clock.now().timestamp()
        self._records.note(
            account, {slot: self._records.row(value, rule, now) for slot, (value, rule) in values.items()}
        )

    @property
    def tick(self) -> int:
        """The number of changes so far; what was made of earlier values must not be kept after a change."""
        return self._records.tick

    def last_change(self, account: str) -> int:
        """Return the tick at which an account's values were last replaced."""
        return self._records.last_change(account)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Have a listener told of each account whose values were replaced, here or elsewhere."""
        self._records.on_change(listener)

    def forget(self, account: str) -> None:
        """Drop what this process knows of an account, for the store knows better."""
        self._records.forget(account)

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until this process fetches nothing any more; return whether that came in time."""
        return self._flights.wait_until_quiet(seconds)

    def close(self) -> None:
        """End the threads."""
        self.pulse.stop()
        self._fetching.close()

    def _with_newer(self, errand: Errand, absent: Collection[Slot], kept: Mapping[Slot, Memo]) -> Found:
        """Fetch what is absent or too old; where that fails, answer with what is kept."""
        old: Found = {slot: replace(kept[slot], stale=True) for slot in absent if slot in kept}
        spared = len(old) == len(absent)
        if spared and not errand.not_before:
            return old | self._soon(errand, absent)
        request = asking.current.get()
        try:
            if request is not None:
                request.wait()
        except BusyError:
            if spared:
                return old
            raise
        found = self._fetching.obtain(errand, absent)
        return {slot: old.get(slot, each) if isinstance(each, ProviderError) else each for slot, each in found.items()}

    def _soon(self, errand: Errand, absent: Collection[Slot]) -> Found:
        """Return what comes of a refresh within a moment; a provider in trouble is not waited for."""
        if not self._may_refresh(errand.account):
            return {}
        for flight in self._fetching.refresh(errand, absent):
            flight.wait(max(0.0, flight.begun_at + PATIENCE - monotonic()))
        newer = self._records.look(errand.account, {slot: errand.rules[slot] for slot in absent})
        return {slot: memo for slot, memo in newer.items() if not memo.stale}
