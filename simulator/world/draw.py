"""Chance that is the same each time: every draw is seeded by what it is for, never by when it is asked."""

import math
import random
from collections.abc import Mapping
from hashlib import blake2b

LARGE = 30  # From this mean on a Poisson count is as good as normal.


class Draw(random.Random):
    """A seeded generator with the few distributions that a world needs."""

    def chance(self, probability: float) -> bool:
        """Say yes so often."""
        return self.random() < probability

    def spread(self, sigma: float) -> float:
        """Return a factor around 1."""
        return math.exp(self.gauss(0, sigma))

    def count(self, mean: float) -> int:
        """Return a count of independent events."""
        if mean <= 0:
            return 0
        if mean >= LARGE:
            return max(0, round(self.gauss(mean, math.sqrt(mean))))
        limit, product, events = math.exp(-mean), self.random(), 0
        while product > limit:
            product *= self.random()
            events += 1
        return events


def draw(*purpose: object) -> Draw:
    """Return the generator for a purpose, such as ("day", seed, account, date)."""
    return Draw(int.from_bytes(_digest(purpose)))


def digits(length: int, *purpose: object) -> str:
    """Return so many digits for a purpose."""
    return str(int.from_bytes(_digest(purpose)) % 10**length).zfill(length)


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Share a total out by weight; the parts add up, and none passes its weight unless the total passes theirs."""
    whole = sum(weights.values())
    if not total or not whole:
        return dict.fromkeys(weights, 0)
    exact = {name: total * weight / whole for name, weight in weights.items()}
    parts = {name: int(share) for name, share in exact.items()}
    rest = total - sum(parts.values())
    for name in sorted(exact, key=lambda name: parts[name] - exact[name])[:rest]:
        parts[name] += 1
    return parts


def _digest(purpose: tuple[object, ...]) -> bytes:
    return blake2b("/".join(map(str, purpose)).encode(), digest_size=8).digest()
