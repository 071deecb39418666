"""What a call needs to know besides its own parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from simulator.graph.access import Caller
from simulator.messages import Request
from simulator.switches import Switches
from simulator.world.collaborations import Collaborations


@dataclass
class Expansions:
    """How many media were read with their insights within one call."""

    media: int = 0

    def count(self) -> None:
        """Note one media."""
        self.media += 1

    def weight(self, switches: Switches) -> int:
        """Return for how many calls the call counts: one, or by a switch one for each media."""
        return max(1, self.media) if switches["expansion_weight"] == "media" else 1


@dataclass(frozen=True)
class Scope:
    """One call, who sends it, which version serves it, when, by which login, and which metrics are in trouble."""

    request: Request
    caller: Caller
    version: str
    now: float
    switches: Switches
    collaborations: Collaborations
    refused_metrics: frozenset[str] = frozenset()
    dropped_metrics: frozenset[str] = frozenset()
    by_instagram: bool = False  # The caller came by an Instagram login, not by a Facebook login.
    expansions: Expansions = field(default_factory=Expansions)

    def address(self, path: str, parameters: Mapping[str, object]) -> str:
        """Return the address of a call with these parameters; like Meta's it contains the token."""
        given = {**parameters, "access_token": self.caller.token}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"{self.request.base}/{self.version}{path}?{query}"
