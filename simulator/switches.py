"""Switches for what the providers' pages leave open, and for what a trial wants otherwise."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.messages import BadInputError


@dataclass(frozen=True)
class Switch:
    """One switch: what it is at first, which values it takes, in words and as a check."""

    default: Any
    accepted: str
    accepts: Callable[[Any], bool]


def flag(default: bool) -> Switch:
    """Return a switch that is on or off."""
    return Switch(default, "true or false", lambda value: isinstance(value, bool))


def one_of(*values: Any) -> Switch:
    """Return a switch with a few positions, the first being the default."""
    words = ", ".join("null" if value is None else str(value) for value in values)
    return Switch(values[0], f"one of {words}", lambda value: not isinstance(value, bool) and value in values)


def number(default: Any, low: float, high: float, *, also: tuple[Any, ...] = ()) -> Switch:
    """Return a switch with a number, or one of a few other values."""
    beside = "".join(f" or {json.dumps(value)}" for value in also)
    return Switch(
        default, f"a number from {low} to {high}{beside}", lambda value: value in also or _within(value, low, high)
    )


def whole(default: Any, low: int, high: int, *, also: tuple[Any, ...] = ()) -> Switch:
    """Return a switch with a whole number, or one of a few other values."""
    beside = "".join(f" or {json.dumps(value)}" for value in also)
    return Switch(
        default,
        f"a whole number from {low} to {high}{beside}",
        lambda value: value in also or (isinstance(value, int) and _within(value, low, high)),
    )


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


SWITCHES: Mapping[str, Switch] = {
    # Both providers.
    "latency_ms": number(0, 0, 60_000),
    # Instagram.
    "reporting_delay": flag(True),
    "end_time": one_of("day_end", "day_start"),
    "usage": whole(None, 0, 1000, also=(None,)),  # percent of an account's limit; null: from the calls counted
    "app_usage": whole(None, 0, 1000, also=(None,)),  # percent of the app's limit
    "regain_minutes": whole(10, 0, 1440),
    "repeat_post": flag(True),
    "media_max_page": whole(100, 1, 1000),
    "require_app_secret": flag(False),
    "bearer": flag(True),
    "hidden_likes_omitted": flag(True),
    "follows_plain_value": one_of("value", "skeleton"),
    # Instagram, by Instagram login.
    "locale": one_of("en", "ja", "pt", "fr"),  # of the common refusals
    "igl_bearer": flag(True),
    "igl_appsecret_proof": one_of("ignored", "verified", "refused"),
    "igl_website_clicks": one_of("missing", "answered", "refused"),
    "igl_range_limit": flag(False),
    "igl_token_seconds": whole(5_183_944, 60, 1_000_000_000),  # how long a long-lived token lives
    "igl_refresh_new_token": flag(True),
    # Modash.
    "retry_later_shape": one_of("vendor", "seed", "mixed"),
    "retry_later_status": whole(None, 200, 599, also=(None,)),  # null: 200 for the seed's shape, else 400
    "report_ready_after_calls": whole(0, 0, 1_000_000, also=("never",)),
    "report_ready_after_seconds": number(0, 0, 1_000_000),
    "report_windows": one_of("ascending", "descending", "one", "truncated", "empty"),
    "week_day_hour": one_of("number", "map"),
    "bad_token_status": one_of(401, 403),
    "negative_balance": flag(False),
    "error_false": flag(False),
    "price": whole(250, 0, 1_000_000),  # thousandths of a credit, as the next two
    "repeat_price": whole(250, 0, 1_000_000),
    "refusal_price": whole(0, 0, 1_000_000),
    "start_credits": number(3000, 0, 1_000_000),
    "modash_rate_limit": whole(2, 0, 1_000_000),  # calls per second and token; 0 is off
    "modash_rate_limit_json": flag(True),
    "modash_retry_after": whole(None, 0, 3600, also=(None,)),  # seconds, sent with a 429; null: no such header
    "health_status": one_of(200, 503),
}


class Switches:
    """The switches as they stand; read like `switches["end_time"]`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = {name: switch.default for name, switch in SWITCHES.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def describe(self) -> dict[str, Any]:
        """Return all switches by name."""
        return dict(self._values)

    def set(self, changes: Mapping[str, Any]) -> None:
        """Move some switches, all of them or, when one is wrong, none."""
        for name, value in changes.items():
            if name not in SWITCHES:
                raise BadInputError(f"unknown switch {name}; accepted: {', '.join(SWITCHES)}")
            if not SWITCHES[name].accepts(value):
                raise BadInputError(f"{name} takes {SWITCHES[name].accepted}")
        with self._lock:
            self._values = {**self._values, **changes}

    def reset(self) -> None:
        """Move every switch back."""
        self.set({name: switch.default for name, switch in SWITCHES.items()})
