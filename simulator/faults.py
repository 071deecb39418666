"""Faults that are ordered from outside: which there are, whom they hit, how often."""

import itertools
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.messages import BadInputError, Request

BOTH = frozenset({"instagram", "modash"})
INSTAGRAM, MODASH = frozenset({"instagram"}), frozenset({"modash"})


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _status(value: Any) -> bool:
    return _whole(value) and 200 <= value <= 599  # noqa: PLR2004 - the range of HTTP


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, bool) and value in values


@dataclass(frozen=True)
class Kind:
    """A kind of fault: which providers know it, its options with their checks, and which of them are required."""

    providers: frozenset[str] = BOTH
    options: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    replaces: bool = True  # It stands in for the answer, instead of only changing it.


KINDS: Mapping[str, Kind] = {
    "slow": Kind(options={"delay_seconds": _number}, replaces=False),
    "error": Kind(
        options={
            "status": _status,
            "code": lambda value: _whole(value) or _text(value),
            "subcode": _whole,
            "message": _text,
            "type": _text,
            "is_transient": _flag,
        }
    ),
    "error_200": Kind(),
    "server_error": Kind(options={"code": _one_of(1, 2), "status": _status}),
    "html": Kind(options={"status": _status}),
    "empty": Kind(),
    "not_json": Kind(),
    "truncated": Kind(),
    "cut": Kind(options={"after_work": _flag}),
    "gzip_broken": Kind(),
    "too_large": Kind(),
    "wrong_type": Kind(options={"value": lambda _: True}),
    "redirect": Kind(options={"location": _text}),
    "echo_token": Kind(),
    "throttled": Kind(INSTAGRAM, {"code": _one_of(4, 17, 32, 613, 80002, 341), "minutes": _number}),
    "token": Kind(INSTAGRAM, {"subcode": _one_of(458, 459, 460, 463, 464, 467, 492)}),
    "permission": Kind(INSTAGRAM, {"code": _one_of(10, 200)}),
    "reduce_data": Kind(INSTAGRAM),
    "refuse_metric": Kind(INSTAGRAM, {"metric": _text}, frozenset({"metric"}), replaces=False),
    "drop_metric": Kind(INSTAGRAM, {"metric": _text}, frozenset({"metric"}), replaces=False),
    "retry_later": Kind(MODASH, {"shape": _one_of("vendor", "seed", "mixed"), "status": _status}),
    "no_credits": Kind(MODASH, {"status": _status}),
    "key_invalid": Kind(MODASH, {"status": _status}),
    "rate_limited": Kind(MODASH, {"retry_after": _number, "json": _flag}),
}
COMMON = ("provider", "kind", "path", "times", "seconds")


@dataclass
class Fault:
    """One ordered fault; it hits calls whose path and query contain `path`, so many times or until a moment."""

    number: int
    provider: str
    kind: str
    path: str
    times_left: int | None
    until: float | None
    options: dict[str, Any]
    hits: int = 0

    @property
    def replaces(self) -> bool:
        """Tell whether it stands in for the answer."""
        return KINDS[self.kind].replaces

    def is_over(self, now: float) -> bool:
        """Tell whether it will not hit again."""
        return self.times_left == 0 or (self.until is not None and now >= self.until)

    def concerns(self, provider: str, request: Request) -> bool:
        """Tell whether a call is one that it hits."""
        if provider != self.provider or self.path not in request.without_secrets:
            return False
        metric = self.options.get("metric")
        return metric is None or metric in request.query.get("metric", "").split(",")

    def describe(self) -> dict[str, Any]:
        """Return the JSON of the fault."""
        return {
            "id": self.number,
            "provider": self.provider,
            "kind": self.kind,
            "path": self.path,
            "times_left": self.times_left,
            "until": self.until,
            "hits": self.hits,
            "options": self.options,
        }


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._faults: list[Fault] = []

    def add(self, order: Mapping[str, Any], now: float) -> Fault:
        """Switch on the fault that an order describes."""
        kind = _checked(order)
        fault = Fault(
            number=next(self._numbers),
            provider=order["provider"],
            kind=order["kind"],
            path=order.get("path", ""),
            times_left=order.get("times"),
            until=now + order["seconds"] if "seconds" in order else None,
            options={name: order[name] for name in kind.options if name in order},
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def hitting(self, provider: str, request: Request, now: float) -> list[Fault]:
        """Return the faults that hit a call, and count them; of those that replace the answer only the oldest hits."""
        with self._lock:
            self._faults = [fault for fault in self._faults if not fault.is_over(now)]
            concerned = [fault for fault in self._faults if fault.concerns(provider, request)]
            replacing = next((fault for fault in concerned if fault.replaces), None)
            hitting = [fault for fault in concerned if fault is replacing or not fault.replaces]
            for fault in hitting:
                fault.hits += 1
                if fault.times_left is not None:
                    fault.times_left -= 1
        return hitting

    def describe(self, now: float) -> list[dict[str, Any]]:
        """Return the JSON of the faults that can still hit."""
        with self._lock:
            return [fault.describe() for fault in self._faults if not fault.is_over(now)]

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults = []


def _checked(order: Mapping[str, Any]) -> Kind:
    if order.get("provider") not in list(BOTH):
        raise BadInputError("provider must be instagram or modash")
    known = [name for name, kind in KINDS.items() if order["provider"] in kind.providers]
    if order.get("kind") not in known:
        raise BadInputError(f"kind must be one of {', '.join(known)}")
    kind = KINDS[order["kind"]]
    if "times" in order and not (_whole(order["times"]) and order["times"] > 0):
        raise BadInputError("times must be a whole number above 0")
    if "seconds" in order and not _number(order["seconds"]):
        raise BadInputError("seconds must be a number")
    if not _text(order.get("path", "")):
        raise BadInputError("path must be text")
    for name, value in order.items():
        if name not in (*COMMON, *kind.options):
            raise BadInputError(
                f"{order['kind']} has no option {name}; accepted: {', '.join([*COMMON, *kind.options])}"
            )
        if name in kind.options and not kind.options[name](value):
            raise BadInputError(f"{name} is not valid for {order['kind']}")
    if missing := kind.required - set(order):
        raise BadInputError(f"{order['kind']} needs {', '.join(sorted(missing))}")
    return kind
