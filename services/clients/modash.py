"""Modash's Discovery API: one method for each call, in the provider's words. No call is ever repeated once it was sent.

https://docs.modash.io
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten

from services.clients.http import Bearer, Reply, Transport
from services.clients.quota import retry_after
from services.clients.retries import Retries
from services.errors import (
    CreatorNotFoundError,
    CreatorRefusedError,
    InsufficientCreditsError,
    ModashKeyInvalidError,
    PermissionMissingError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRefusedError,
    ProviderResponseError,
    ProviderUnavailableError,
)
from services.redaction import Redaction

MAX_TEXT = 300  # characters of a provider's message that are passed on
RATE_LIMIT_WAIT = 2  # seconds; the usual limit is 2 requests a second
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY, SERVER_ERROR = 200, 401, 403, 404, 429, 500

# Codes for a creator without a public account, with what is told of each.
_NOT_FOUND: Mapping[str, str] = {
    "handle_not_found": "Modash knows no public account by that handle.",
    "account_not_found": "Modash knows no such account.",
    "account_removed": "The account was removed.",
    "private_account": "The account is private.",
}


@dataclass(frozen=True)
class Pending:
    """Modash is preparing the report; nothing was charged."""

    message: str


@dataclass(frozen=True)
class Report:
    """A report that was paid for, as it came."""

    body: Mapping[str, object]


class ModashClient:
    """Reads api.modash.io; every method raises the `ProviderError` of the refusal."""

    def __init__(
        self, transport: Transport, *, base_url: str, key: str, retries: Retries, redaction: Redaction
    ) -> None:
        self._transport = transport
        self._base_url = base_url
        self._auth = Bearer(key)
        self._retries = retries
        self._redaction = redaction

    def performance_data(self, creator: str) -> Report | Pending:
        """Return the performance data of a creator (a handle, @handle or numeric id). A report is charged.

        `retry_later` comes in two shapes and at any status, so bodies are read before statuses. A body of another
        shape at status 200 is a report too: it was paid for.
        """
        reply = self._get("v1/instagram/performance-data", {"url": creator})
        body = self._object(reply)
        code = _code(body)
        if code == "retry_later":
            return Pending(self._text(body) or "Modash is preparing the report.")
        if reply.status != OK or body.get("error") or code in _NOT_FOUND:
            raise self._failure(reply, code, self._text(body))
        return Report(body)

    def credits(self) -> float | None:
        """Return the remaining Discovery credits of the key, or None where the answer does not tell; free of charge."""
        reply = self._get("v1/user/info", {})
        body = self._object(reply)
        if reply.status != OK or body.get("error"):
            raise self._failure(reply, _code(body), self._text(body))
        billing = body.get("billing")
        remaining = billing.get("credits") if isinstance(billing, dict) else None
        return remaining if isinstance(remaining, int | float) and not isinstance(remaining, bool) else None

    def _get(self, path: str, params: Mapping[str, str]) -> Reply:
        return self._retries.run(
            lambda: self._transport.get(f"{self._base_url}/{path}", params=params, auth=self._auth),
            allowed=lambda error: error.repeatable and not error.reached,
        )

    def _object(self, reply: Reply) -> Mapping[str, object]:
        try:
            body = reply.json()
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict):
            return body
        if reply.status == OK:
            raise ProviderResponseError(
                "Modash sends an answer that is not a JSON object.",
                provider="modash",
                hint="The call may have been charged; look at the balance before you ask again.",
            )
        raise self._failure(reply, None, "")

    def _failure(self, reply: Reply, code: str | None, text: str) -> ProviderError:
        """Translate a refusal: the code decides, the status only where there is none that is known."""
        status = reply.status
        if code == "not_enough_credits":
            return InsufficientCreditsError(
                "The Modash credits are used up.", provider="modash", hint="Buy credits, or wait for the next month."
            )
        if code == "api_token_invalid" or status == UNAUTHORIZED:
            return ModashKeyInvalidError(
                "Modash does not accept the key.",
                provider="modash",
                hint="Set MODASH_API_KEY to the key of marketer.modash.io/developer and restart.",
            )
        if code in _NOT_FOUND or status == NOT_FOUND:
            cause = code if code in _NOT_FOUND else "creator_not_found"
            message = _NOT_FOUND.get(cause or "", "Modash does not find the creator.")
            return CreatorNotFoundError(
                message,
                cause=cause or "creator_not_found",
                hint="Check the spelling; the account must be public.",
            )
        if code == "bad_request":
            return CreatorRefusedError(
                f"Modash does not accept the creator: {text}", provider="modash", hint="Give `url` as a handle or id."
            )
        return self._failure_by_status(reply, code, text)

    def _failure_by_status(self, reply: Reply, code: str | None, text: str) -> ProviderError:
        status = reply.status
        if status == TOO_MANY:
            return ProviderRateLimitedError(
                "Modash asks us to slow down.",
                provider="modash",
                hint="Try again when the wait is over.",
                retry_after=retry_after(reply.headers) or RATE_LIMIT_WAIT,
            )
        if status == FORBIDDEN:
            return PermissionMissingError(
                f"Modash forbids this call: {text or 'without a reason'}",
                provider="modash",
                hint="Check the plan and the credits of the key.",
            )
        if code == "internal_server_error" or (status >= SERVER_ERROR and code is not None):
            return ProviderUnavailableError(
                "Modash has a fault on its side.", provider="modash", hint="Try again in a minute; nothing was charged."
            )
        if code is None and not text:
            return ProviderResponseError(
                f"Modash sends HTTP {status} without a readable reason.",
                provider="modash",
                hint="Try again in a minute; its servers may be down.",
            )
        return ProviderRefusedError(
            f"Modash refuses the request: {text or code}", provider="modash", hint="Report this with the request id."
        )

    def _text(self, body: Mapping[str, object]) -> str:
        message = body.get("message")
        return shorten(self._redaction(message), MAX_TEXT, placeholder=" ...") if isinstance(message, str) else ""


def _code(body: Mapping[str, object]) -> str | None:
    return next((value for value in (body.get("code"), body.get("status")) if isinstance(value, str)), None)
