"""Modash's Discovery API: one method for each call, in the provider's words. No call is ever repeated once it was sent.

https://docs.modash.io
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.clients.error_mapping import TRY_SOON, provider_error, readable
from services.clients.guard.guard import NO_ACCOUNT, Guard
from services.clients.http import OK, Bearer, Reply, Transport
from services.clients.modash.error_codes import LOOK_AT_BASE_URL, MODASH_RULES, modash_rule
from services.clients.retries import Retries
from services.clients.retry_after import retry_after
from services.errors import Charge, ProviderError, ProviderResponseError, RetryStrategy
from services.redaction import Redaction

REDIRECTION, BAD_REQUEST, SERVER_ERROR = 300, 400, 500  # each the first status of its kind
RETRY_LATER = "retry_later"
MAY_BE_CHARGED = "The call may have been charged: look at the balance (`make doctor`) before you ask again."
MAX_CREDITS = 10**12  # A larger number is no balance, and could not be stored.

Body = Mapping[str, object]


class NotReady(NamedTuple):
    """Modash's words for a report that it is still preparing; nothing was charged."""

    message: str


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
        guard: Guard,
    ) -> None:
        self._transport = transport
        self._base_url = base_url
        self._auth = Bearer(key)
        self._retries = retries
        self._redaction = redaction
        self.guard = guard

    def performance_data(self, creator: str) -> Body | NotReady:
        """Return the performance data of a creator (a handle, @handle or numeric id). A report is charged.

        `retry_later` comes in two shapes and at any status, so bodies are read before statuses. A body of another
        shape at status 200 is a report too: it was paid for.
        """
        try:
            body = self._get("v1/instagram/performance-data", {"url": creator}, is_paid=True)
        except ProviderError as error:
            if error.charge is Charge.UNKNOWN:
                # Outside the guard, which repeats the failure to later calls: those are not sent and cost nothing.
                error.hint, error.retry_after = MAY_BE_CHARGED, None
            raise
        if _code(body) == RETRY_LATER:
            return NotReady(readable(body.get("message"), self._redaction) or "Modash is preparing the report.")
        return body

    def credits(self) -> float | None:
        """Return the remaining Discovery credits of the key, or None where the answer has none; free of charge."""
        billing = self._get("v1/user/info", {}).get("billing")
        remaining = billing.get("credits") if isinstance(billing, dict) else None
        if isinstance(remaining, bool) or not isinstance(remaining, int | float):
            return None
        return remaining if abs(remaining) <= MAX_CREDITS else None

    def _get(self, path: str, params: Mapping[str, str], *, is_paid: bool = False) -> Body:
        """Return the answer to one call; repeat the call only where it was never sent.

        The answer is judged inside the guard, which learns from every refusal. A paid call has a connection of its
        own: on a pooled one that has died meanwhile it would be lost, and it would be unknown whether it arrived.
        """
        backoff = self._retries.begin()
        while True:
            try:
                with self.guard.call(NO_ACCOUNT):
                    url = f"{self._base_url}/{path}"
                    return self._accepted(self._transport.get(url, params=params, auth=self._auth, is_paid=is_paid))
            except ProviderError as error:
                is_unsent = error.retry_strategy is RetryStrategy.TRY_AGAIN and not error.reached
                if not is_unsent or not backoff.wait():
                    raise

    def _accepted(self, reply: Reply) -> Body:
        """Return the object of an answer; raise the failure of a refusal."""
        body = _object(reply)
        code = _code(body)
        # `retry_later` is no failure, whatever the status and the other fields say.
        if body is not None and (code == RETRY_LATER or _is_report(reply.status, body, code)):
            return body
        raise self._failure(reply, body or {}, code)

    def _failure(self, reply: Reply, body: Body, code: str | None) -> ProviderError:
        """Return the failure of an answer that is neither a report nor a wait for one.

        A refusal of Modash says `error: true` and why, or has a status that says enough. Any other answer is not from
        the API but from something in front of it. With a status of 400 to 499 it still refuses the call; with another
        one the report may have been made and lost on its way.
        """
        words = readable(body.get("message"), self._redaction)
        is_refusal = body.get("error") is True and bool(code or words)
        rule = modash_rule(code, reply.status, words=words, is_refusal=is_refusal)
        if rule is not None:
            wait = retry_after(reply.headers, now=reply.received_at)
            return provider_error(rule, "modash", words=words or code or "", wait=wait)
        is_refused = BAD_REQUEST <= reply.status < SERVER_ERROR
        return ProviderResponseError(
            f"HTTP {reply.status} came in place of an answer of Modash.",
            provider="modash",
            hint=LOOK_AT_BASE_URL if is_refused else TRY_SOON,
            charge=Charge.NONE if is_refused else Charge.UNKNOWN,
        )


def _object(reply: Reply) -> Body | None:
    try:
        body = reply.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _is_report(status: int, body: Body, code: str | None) -> bool:
    if body.get("error") or code in MODASH_RULES:
        return False
    # Whatever comes with status 200 was paid for. Another status of success is a report where it looks like one: a
    # proxy that changes an answer also changes its status (203).
    return status == OK or (OK < status < REDIRECTION and ("posts" in body or "reels" in body))


def _code(body: Body | None) -> str | None:
    if body is None:
        return None
    return next((value for value in (body.get("code"), body.get("status")) if isinstance(value, str)), None)
