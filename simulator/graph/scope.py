"""What a call needs to know besides its own parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from simulator.graph.access import Caller
from simulator.messages import Request
from simulator.switches import Switches


@dataclass(frozen=True)
class Scope:
    """One call, who sends it, which version serves it, when, by which login, and which metrics are in trouble."""

    request: Request
    caller: Caller
    version: str
    now: float
    switches: Switches
    refused_metrics: frozenset[str] = frozenset()
    dropped_metrics: frozenset[str] = frozenset()
    by_instagram: bool = False  # The caller came by an Instagram login, not by a Facebook login.

    def address(self, path: str, parameters: Mapping[str, object]) -> str:
        """Return the address of a call with these parameters; like Meta's it contains the token."""
        given = {**parameters, "access_token": self.caller.token}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"{self.request.base}/{self.version}{path}?{query}"
