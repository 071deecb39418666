"""Injected faults: the calls that they hit, and how often."""

import itertools
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.fault_kinds import BOTH, KINDS, Kind, is_number, is_text, is_whole
from simulator.messages import BadInputError, Request

COMMON = ("provider", "kind", "path", "times", "seconds", "host")
HOSTS = {
    "instagram": ("graph.facebook.com", "graph.instagram.com", "api.instagram.com"),
    "modash": ("api.modash.io",),
}
PAGE = 25  # posts, where a call does not say how many
NESTED = re.compile(r"\b(?:collaborative_)?media\b(?:\.\w+\([^)]*\))*")
EXPANDED = re.compile(r"\binsights\b(?:\.\w+\([^)]*\))*?\.metric\(([^)]*)\)")
LIMIT = re.compile(r"\.limit\((\d{1,9})\)")

Rows = Mapping[str, Collection[str]]


@dataclass
class Fault:
    """One injected fault: it hits calls whose path and query contain `path`, a number of times or until a time."""

    number: int
    provider: str
    host: str | None
    kind: str
    path: str
    times_left: int | None
    until: float | None
    options: dict[str, Any]
    hits: int = 0

    @property
    def replaces(self) -> bool:
        """Return whether it replaces the answer."""
        return KINDS[self.kind].replaces

    def is_over(self, now: float) -> bool:
        """Return whether it will not hit again."""
        return self.times_left == 0 or (self.until is not None and now >= self.until)

    def concerns(self, provider: str, request: Request) -> bool:
        """Return whether it hits a call."""
        if provider != self.provider or self.path not in request.without_secrets:
            return False
        if self.host and not request.base.endswith(f"/{self.host}"):
            return False
        if "above" in self.options and posts_asked(request) <= self.options["above"]:
            return False
        metric = self.options.get("metric")
        return metric is None or metric in metrics_asked(request)

    def describe(self) -> dict[str, Any]:
        """Return the JSON of the fault."""
        return {
            "id": self.number,
            "provider": self.provider,
            "host": self.host,
            "kind": self.kind,
            "path": self.path,
            "times_left": self.times_left,
            "until": self.until,
            "hits": self.hits,
            "options": self.options,
        }


class Faults:
    """The faults that are switched on; `rows` are the names of each provider's worded refusals."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._faults: list[Fault] = []

    def add(self, order: Mapping[str, Any], now: float) -> Fault:
        """Switch a fault on; `order` is its JSON."""
        kind = _checked(order, self._rows)
        fault = Fault(
            number=next(self._numbers),
            provider=order["provider"],
            host=order.get("host"),
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


def metrics_asked(request: Request) -> set[str]:
    """Return the metrics that a call requests, as its parameter or within its fields."""
    lists = [request.query.get("metric", ""), *EXPANDED.findall(request.query.get("fields", ""))]
    return {name.strip() for names in lists for name in names.split(",")}


def posts_asked(request: Request) -> int:
    """Return how many posts a call requests at once: of the list, or of the list within a profile."""
    if request.path.rstrip("/").endswith(("/media", "/collaborative_media")):
        limit = request.query.get("limit", "")
        return int(limit) if re.fullmatch(r"\d{1,9}", limit) else PAGE
    nested = NESTED.search(request.query.get("fields", ""))
    if not nested:
        return 0
    asked = LIMIT.search(nested[0])
    return int(asked[1]) if asked else PAGE


def _checked(order: Mapping[str, Any], rows: Rows) -> Kind:
    if order.get("provider") not in list(BOTH):
        raise BadInputError("provider must be instagram or modash")
    known = [name for name, kind in KINDS.items() if order["provider"] in kind.providers]
    if order.get("kind") not in known:
        raise BadInputError(f"kind must be one of {', '.join(known)}")
    _check_aim(order)
    kind = KINDS[order["kind"]]
    _check_options(order, kind, rows[order["provider"]])
    return kind


def _check_aim(order: Mapping[str, Any]) -> None:
    if order.get("host") not in (None, *HOSTS[order["provider"]]):
        raise BadInputError(f"host must be one of {', '.join(HOSTS[order['provider']])}")
    if "times" in order and not (is_whole(order["times"]) and order["times"] > 0):
        raise BadInputError("times must be a whole number above 0")
    if "seconds" in order and not is_number(order["seconds"]):
        raise BadInputError("seconds must be a number")
    if not is_text(order.get("path", "")):
        raise BadInputError("path must be text")


def _check_options(order: Mapping[str, Any], kind: Kind, rows: Collection[str]) -> None:
    for name, value in order.items():
        if name not in (*COMMON, *kind.options):
            raise BadInputError(
                f"{order['kind']} has no option {name}; accepted: {', '.join([*COMMON, *kind.options])}"
            )
        if name in kind.options and not kind.options[name](value):
            raise BadInputError(f"{name} is not valid for {order['kind']}")
    if missing := kind.required - set(order):
        raise BadInputError(f"{order['kind']} needs {', '.join(sorted(missing))}")
    if "row" in kind.options and order["row"] not in rows:
        raise BadInputError(f"row must be one of {', '.join(rows)}")
