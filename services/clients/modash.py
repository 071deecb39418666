"""Modash's Discovery API: one method for each call, in the provider's words. No call is ever repeated once it was sent.

https://docs.modash.io
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from services.clients.failures import as_failure, readable
from services.clients.gate import NO_ACCOUNT, Gate
from services.clients.http import OK, Bearer, Reply, Transport
from services.clients.outcomes import MODASH, MODASH_STATUS, TRY_SOON, UNCERTAIN, modash_outcome
from services.clients.pace import Pace
from services.clients.quota import retry_after
from services.clients.retries import Retries
from services.errors import (
    ProviderError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    Remedy,
)
from services.redaction import Redaction

NOT_FOUND = 404
MAX_DEPTH = 50  # A report has 6 levels; what has hundreds could not be handed on.
MAX_CREDITS = 10**12  # Nobody has more; what says so is no balance, and could not be kept.
# After one of these nobody knows whether the call was charged.
UNSURE = (ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError)

T = TypeVar("T")


@dataclass(frozen=True)
class Pending:
    """Modash is preparing the report; nothing was charged."""

    message: str


def may_be_charged(error: ProviderError) -> bool:
    """Return whether nobody knows if the call was charged that failed like this."""
    return error.hint == UNCERTAIN


@dataclass(frozen=True)
class Report:
    """A report that was paid for, as it came."""

    body: Mapping[str, object]


class ModashClient:
    """Reads api.modash.io; every method raises the `ProviderError` of the refusal."""

    def __init__(
        self,
        transport: Transport,
        *,
        base_url: str,
        key: str,
        retries: Retries,
        redaction: Redaction,
        gate: Gate,
        pace: Pace,
    ) -> None:
        self._transport = transport
        self._base_url = base_url
        self._auth = Bearer(key)
        self._retries = retries
        self._redaction = redaction
        self._pace = pace
        self.gate = gate

    def performance_data(self, creator: str) -> Report | Pending:
        """Return the performance data of a creator (a handle, @handle or numeric id). A report is charged.

        `retry_later` comes in two shapes and at any status, so bodies are read before statuses. A body of another
        shape at status 200 is a report too: it was paid for.
        """
        return self._guarded(lambda: self._performance_data(creator))

    def credits(self) -> float | None:
        """Return the remaining Discovery credits of the key, or None where the answer does not tell; free of charge."""
        return self._guarded(self._credits)

    def _performance_data(self, creator: str) -> Report | Pending:
        try:
            reply = self._get("v1/instagram/performance-data", {"url": creator})
            body = self._object(reply)
        except UNSURE as error:
            if error.reached:
                error.hint, error.retry_after = UNCERTAIN, None
            raise
        code, words = _code(body), readable(body.get("message"), self._redaction)
        if code == "retry_later":
            return Pending(words or "Modash is preparing the report.")
        if reply.status != OK or body.get("error") or code in MODASH:
            raise self._failure(reply, code, words)
        return Report(body)

    def _credits(self) -> float | None:
        reply = self._get("v1/user/info", {})
        body = self._object(reply)
        if reply.status != OK or body.get("error"):
            raise self._failure(reply, _code(body), readable(body.get("message"), self._redaction))
        billing = body.get("billing")
        remaining = billing.get("credits") if isinstance(billing, dict) else None
        if isinstance(remaining, bool) or not isinstance(remaining, int | float):
            return None
        return remaining if abs(remaining) <= MAX_CREDITS else None

    def _guarded(self, call: Callable[[], T]) -> T:
        """Make a call in its turn, and judge its answer, through the gate; repeat it where it was never sent."""

        def once() -> T:
            # Nobody waits for a turn that could not be used, and what a turn is refused with says nothing of Modash.
            self.gate.check(NO_ACCOUNT)
            self._pace.wait_turn()
            with self.gate.passing(NO_ACCOUNT):
                return call()

        return self._retries.run(once, allowed=lambda error: error.remedy is Remedy.TRY_AGAIN and not error.reached)

    def _get(self, path: str, params: Mapping[str, str]) -> Reply:
        return self._transport.get(f"{self._base_url}/{path}", params=params, auth=self._auth)

    def _object(self, reply: Reply) -> Mapping[str, object]:
        try:
            body = reply.json()
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict) and not _is_deeper(body, MAX_DEPTH):
            return body
        if reply.status in MODASH_STATUS and reply.status != NOT_FOUND:
            raise self._failure(reply, None, "")
        raise ProviderResponseError(
            f"Modash sends HTTP {reply.status} without a JSON object.", provider="modash", hint=TRY_SOON
        )

    def _failure(self, reply: Reply, code: str | None, words: str) -> ProviderError:
        if code is None and not words and reply.status not in MODASH_STATUS:
            # What is no refusal in Modash's words may be anything, also a report that was lost on its way.
            return ProviderResponseError(
                f"Modash sends HTTP {reply.status} without a readable reason.",
                provider="modash",
                hint=UNCERTAIN,
            )
        outcome = modash_outcome(code, reply.status)
        return as_failure(outcome, "modash", words=words or code or "", wait=retry_after(reply.headers))


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deeper(each, levels - 1) for each in inner)


def _code(body: Mapping[str, object]) -> str | None:
    return next((value for value in (body.get("code"), body.get("status")) if isinstance(value, str)), None)
