"""From changes to deliveries: batches, repeated ones, forged ones, in order or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulator.webhooks.changes import SHAPES, Change, envelope, raw
from simulator.webhooks.signing import FORGERIES, Headers, forged_headers, signed
from simulator.world.draw import Draw, draw

MOST_CHANGES = 1000  # in one delivery
IMPOSSIBLE = 999_999_999  # the count that forged changes have


@dataclass(frozen=True)
class Packing:
    """How changes are put into deliveries; the shares are of the genuine deliveries."""

    shape: str = SHAPES[0]
    batch: int = MOST_CHANGES
    duplicates: float = 0.0
    forged: float = 0.0
    shuffle: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Packed:
    """One delivery, ready to be sent; `forgery` is how a forged one is wrong."""

    body: bytes
    headers: Headers
    changes: tuple[Change, ...]
    is_duplicate: bool = False
    forgery: str | None = None


def packed(changes: Sequence[Change], secret: str, packing: Packing) -> list[Packed]:
    """Return the deliveries of some changes, the same for the same seed."""
    chance = draw("packing", packing.seed, len(changes))
    order = list(changes)
    if packing.shuffle:
        chance.shuffle(order)
    deliveries: list[Packed] = []
    for start in range(0, len(order), packing.batch):
        genuine = _genuine(order[start : start + packing.batch], secret, packing.shape)
        deliveries.append(genuine)
        if chance.chance(packing.duplicates):
            deliveries += _repeated(genuine, secret, packing, chance)
        if chance.chance(packing.forged):
            deliveries.append(_forged(genuine, secret, packing, chance))
    if packing.shuffle:
        chance.shuffle(deliveries)
    return deliveries


def _genuine(changes: Sequence[Change], secret: str, shape: str) -> Packed:
    body = raw(envelope(changes, shape))
    return Packed(body, signed(body, secret), tuple(changes))


def _repeated(genuine: Packed, secret: str, packing: Packing, chance: Draw) -> Iterator[Packed]:
    """Repeat a delivery, as it was or with its changes put together in another way."""
    if chance.chance(0.5):
        yield replace(genuine, is_duplicate=True)
        return
    middle = (len(genuine.changes) + 1) // 2
    for part in (genuine.changes[middle:], genuine.changes[:middle]):
        if part:
            yield replace(_genuine(part, secret, chance.choice(SHAPES)), is_duplicate=True)


def _forged(genuine: Packed, secret: str, packing: Packing, chance: Draw) -> Packed:
    changes = tuple(replace(change, value=_invented(change.value, chance)) for change in genuine.changes)
    forgery = chance.choice(FORGERIES)
    body = raw(envelope(changes, packing.shape))
    return Packed(body, forged_headers(forgery, body, genuine=genuine.body, secret=secret), changes, forgery=forgery)


def _invented(value: Any, chance: Draw) -> dict[str, Any]:
    """Return a value that could not be mistaken for a genuine one if it was applied."""
    known = value if isinstance(value, dict) else {}
    counts = {name: IMPOSSIBLE for name, count in known.items() if isinstance(count, int)}
    return {**known, **counts, "forged": chance.randrange(10**12)}
