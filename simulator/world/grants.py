"""Tokens that persons gave since the start, each of an age and a life of its own, and what they took back."""

import itertools
import threading
from dataclasses import dataclass

from simulator.world.draw import digits

LIFETIME = 5_183_944.0  # seconds, about 60 days
DATA_ACCESS = 90 * 86_400.0  # seconds from the login until Meta ends the access to data


@dataclass(frozen=True)
class GivenToken:
    """A token of one account (by its index) and login; that of a Page does not end."""

    token: str
    index: int
    login: str
    is_page: bool
    issued: float
    ends: float | None

    @property
    def data_access_ends(self) -> float:
        """When the login has to be renewed by the person."""
        return self.issued + DATA_ACCESS


class Grants:
    """What was given and taken back; a token that was issued after that is accepted."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._numbers = itertools.count(1)
            self._given: dict[str, GivenToken] = {}
            self._taken_back: dict[tuple[int, str], tuple[float, int]] = {}

    def give(
        self, index: int, login: str, issued: float, *, is_page: bool = False, lifetime: float = LIFETIME
    ) -> GivenToken:
        """Give a long-lived token that was issued at a moment."""
        with self._lock:
            number = next(self._numbers)
            prefix = "IGAASIM" if login == "instagram" else "EAASIM"
            token = f"{prefix}{index:05d}G{number:05d}{digits(16, 'grant', self._seed, index, number)}"
            ends = None if is_page else issued + lifetime
            self._given[token] = GivenToken(token, index, login, is_page, issued, ends)
            return self._given[token]

    def of(self, token: str) -> GivenToken | None:
        """Return a token that was given."""
        return self._given.get(token)

    def take_back(self, index: int, login: str, now: float, subcode: int) -> None:
        """Refuse every token of an account and login that was issued so far."""
        with self._lock:
            self._taken_back[index, login] = now, subcode

    def restore(self, index: int, login: str) -> None:
        """Accept the tokens of an account and login again: the person has repaired it at Facebook."""
        with self._lock:
            self._taken_back.pop((index, login), None)

    def refusal(self, index: int, login: str, issued: float) -> int | None:
        """Return the subcode with which a token is refused that was issued at a moment, if it is."""
        found = self._taken_back.get((index, login))
        return found[1] if found is not None and issued <= found[0] else None
