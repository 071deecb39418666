"""api.modash.io: from a path to an answer."""

from collections.abc import Sequence
from typing import Any

from simulator.calls import Calls
from simulator.faults import Fault
from simulator.messages import Reply, Request
from simulator.modash.errors import ModashError, key_invalid, rate_limited, retry_later
from simulator.modash.handle_outcomes import OUTCOMES
from simulator.modash.refusals import refusal
from simulator.modash.reports import report
from simulator.modash.state import Desk
from simulator.switches import Switches
from simulator.world.accounts import MODASH_KEY
from simulator.world.creators import Creators

RAW_REQUESTS = 40_000
HEALTH = {200: "ok", 503: "unavailable"}


class ModashProvider:
    """The Discovery API with its one key."""

    name = "modash"

    def __init__(self, creators: Creators, switches: Switches, calls: Calls) -> None:
        self._creators = creators
        self._switches = switches
        self._calls = calls
        self._desk = Desk(switches)

    def reset(self) -> None:
        """Fill the balance up and forget all reports."""
        self._desk.reset()

    def answer(self, request: Request, faults: Sequence[Fault], now: float) -> Reply:
        """Answer a call."""
        try:
            return self._answer(request, now)
        except ModashError as error:
            return error.reply()

    def refuse(self, request: Request, fault: Fault, now: float) -> Reply | None:
        """Return the answer that a fault stands for, if this API has words for it."""
        return refusal(fault, request)

    def _answer(self, request: Request, now: float) -> Reply:
        path = request.path.rstrip("/")
        if path in ("/health", "/v1/health") and request.method in ("GET", "HEAD"):
            status = self._switches["health_status"]
            return Reply.json(status, {"status": HEALTH[status]})
        if _token(request) != MODASH_KEY:
            raise key_invalid(self._switches["bad_token_status"])
        if request.method in ("GET", "HEAD"):
            if path == "/v1/user/info":
                return Reply.json(200, self._info())
            if path == "/v1/instagram/performance-data":
                return self._performance_data(request, now)
        raise ModashError(404, "not_found", f"Cannot {request.method} {request.path}")

    def _info(self) -> dict[str, Any]:
        billing = {"credits": self._desk.credits(), "rawRequests": RAW_REQUESTS}
        return {"error": False, "billing": billing, "rateLimits": {"discoveryRatelimit": 2, "rawRatelimit": 10}}

    def _performance_data(self, request: Request, now: float) -> Reply:
        if self._desk.is_too_fast(_token(request)):
            return rate_limited(self._switches["modash_retry_after"], is_json=self._switches["modash_rate_limit_json"])
        handle = self._creators.handle_of(request.query.get("url", ""))
        if handle is None:
            raise ModashError(400, "bad_request", "The url parameter is missing or badly formed.")
        for beginning, outcome in OUTCOMES.items():
            if handle.startswith(beginning):
                self._calls.charge(request, handle, self._desk.fine())
                raise ModashError(outcome.status, outcome.code, outcome.message)
        if not self._desk.is_ready(handle, now):
            self._calls.charge(request, handle, 0)
            return retry_later(self._switches["retry_later_shape"], self._switches["retry_later_status"])
        self._calls.charge(request, handle, self._desk.pay(handle))
        return Reply.json(200, report(self._creators.named(handle), self._switches))


def _token(request: Request) -> str:
    return request.bearer or request.query.get("access_token", "")
