"""What happened and what was sent of it: changes, their deliveries, and when each of these is due."""

import heapq
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from simulator.messages import BadInputError
from simulator.webhooks.changes import Change
from simulator.webhooks.packing import Packed

MOST_CHANGES = 200_000  # that are remembered, as the truth about what was delivered
MOST_WAITING = 20_000  # deliveries
# Seconds from one attempt to the next: the first at once, then ever more slowly, about 36 hours in all.
RETRIES = (0, 60, 300, 1_800, 3_600, 10_800, 21_600, 43_200, 43_200)
CONFIRMED = 200

Json = dict[str, Any]


class OutboxFullError(BadInputError):
    """More would have to be remembered than fits."""


@dataclass
class Delivery:
    """One delivery on its way; a forged one is sent once only."""

    number: int
    login: str
    packed: Packed
    due: float
    statuses: list[int | None] = field(default_factory=list)  # of its attempts; None: no answer
    is_over: bool = False

    @property
    def is_confirmed(self) -> bool:
        """Return whether it was answered with 200."""
        return CONFIRMED in self.statuses

    def describe(self) -> Json:
        """Return its JSON."""
        return {
            "number": self.number,
            "login": self.login,
            "changes": [] if self.packed.forgery else [change.number for change in self.packed.changes],
            "is_duplicate": self.packed.is_duplicate,
            "forgery": self.packed.forgery,
            "statuses": list(self.statuses),
            "is_confirmed": self.is_confirmed,
            "due": None if self.is_over else self.due,
        }


class Outbox:
    """Thread-safe; a delivery that was taken belongs to its taker until it is given back with an outcome."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reserved = 0
        self._changes: dict[int, Change] = {}
        self._confirmed: set[int] = set()
        self._deliveries: list[Delivery] = []
        self._waiting: list[tuple[float, int]] = []  # a heap of when a delivery is due, and its number
        self._on_their_way = 0

    def check_room(self, changes: int, deliveries: int) -> None:
        """Refuse what would be more than fits."""
        with self._lock:
            self._check_room(changes, deliveries)

    def _check_room(self, changes: int, deliveries: int) -> None:
        if len(self._changes) + changes > MOST_CHANGES or len(self._waiting) + deliveries > MOST_WAITING:
            raise OutboxFullError(
                f"only {MOST_CHANGES} changes are remembered and only {MOST_WAITING} deliveries can wait; "
                "DELETE /_simulator/webhooks forgets them"
            )

    def numbered(self, changes: Sequence[Change]) -> list[Change]:
        """Return changes with numbers of their own."""
        with self._lock:
            first = self._reserved
            self._reserved += len(changes)
        return [replace(change, number=first + place) for place, change in enumerate(changes)]

    def add(self, login: str, changes: Sequence[Change], packed: Sequence[Packed], *, now: float) -> list[int]:
        """Remember changes, and let their deliveries wait, due now in their order; return the deliveries' numbers."""
        with self._lock:
            self._check_room(len(changes), len(packed))
            self._changes |= {change.number: change for change in changes}
            first = len(self._deliveries)
            added = [Delivery(first + place, login, one, now) for place, one in enumerate(packed)]
            self._deliveries += added
            for delivery in added:
                heapq.heappush(self._waiting, (delivery.due, delivery.number))
            return [delivery.number for delivery in added]

    def take(self, now: float) -> Delivery | None:
        """Take the next delivery that is due."""
        with self._lock:
            if not self._waiting or self._waiting[0][0] > now:
                return None
            _, number = heapq.heappop(self._waiting)
            self._on_their_way += 1
            return self._deliveries[number]

    def give_back(self, delivery: Delivery, status: int | None, *, now: float) -> None:
        """Note the outcome of an attempt; a delivery that was not confirmed waits for the next one."""
        with self._lock:
            self._on_their_way -= 1
            delivery.statuses.append(status)
            if delivery.is_confirmed and not delivery.packed.forgery:
                self._confirmed.update(change.number for change in delivery.packed.changes)
            retries = len(delivery.statuses) - 1
            delivery.is_over = delivery.is_confirmed or bool(delivery.packed.forgery) or retries == len(RETRIES)
            if delivery.is_over:
                delivery.packed = replace(delivery.packed, body=b"", headers={})  # The bytes are not needed any more.
            else:
                delivery.due = now + RETRIES[retries]
                heapq.heappush(self._waiting, (delivery.due, delivery.number))

    def hurry(self, now: float) -> None:
        """Make everything that waits due now."""
        with self._lock:
            for _, number in self._waiting:
                self._deliveries[number].due = min(now, self._deliveries[number].due)
            self._waiting = [(self._deliveries[number].due, number) for _, number in self._waiting]
            heapq.heapify(self._waiting)

    def counts(self, now: float) -> Json:
        """Return how many changes and deliveries there are, and how they fared."""
        with self._lock:
            return {
                "changes": len(self._changes),
                "confirmed_changes": len(self._confirmed),
                "deliveries": len(self._deliveries),
                "attempts": sum(len(delivery.statuses) for delivery in self._deliveries),
                "waiting": len(self._waiting),
                "due": sum(due <= now for due, _ in self._waiting),
                "on_their_way": self._on_their_way,
                "dropped": sum(
                    delivery.is_over and not delivery.is_confirmed and not delivery.packed.forgery
                    for delivery in self._deliveries
                ),
            }

    def changes(self) -> Iterator[Json]:
        """Give what happened: each change once, however often it was delivered."""
        with self._lock:
            changes, confirmed = list(self._changes.values()), set(self._confirmed)
        for change in changes:
            yield {
                "number": change.number,
                "account": change.account,
                "field": change.field,
                "value": change.value,
                "time": change.time,
                "is_confirmed": change.number in confirmed,
            }

    def deliveries(self) -> list[Json]:
        """Return what was sent, or waits to be."""
        with self._lock:
            return [delivery.describe() for delivery in self._deliveries]
