"""Turns a row of a provider's error table, with the provider's own words, into a failure."""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import (
    Charge,
    CreatorRefusedError,
    PermissionDeniedError,
    ProviderError,
    ProviderErrorDetails,
    ProviderRateLimitedError,
    ProviderRefusedError,
    RetryStrategy,
)
from services.redaction import Redaction, one_line

TRY_SOON = "Try again in a minute."
MAX_TEXT = 300  # characters of a provider's message that are passed on
# For these our message alone does not show what to change.
SHOWN_WITH_WORDS = (CreatorRefusedError, PermissionDeniedError, ProviderRefusedError)


@dataclass(frozen=True)
class ErrorRule:
    """One row of a provider's error table.

    `wait` (seconds) becomes `retry_after` where no header of the provider gives another.
    """

    error: type[ProviderError]
    message: str
    hint: str
    retry_strategy: RetryStrategy = RetryStrategy.STOP
    wait: int | None = None
    cause: str | None = None  # the code that callers get, where the class has several
    reason: str | None = None  # why a metric is unknown, where the row is about one
    whole_app: bool = False  # whether every account has to wait
    charge: Charge = Charge.NONE  # A refusal that can be read costs nothing; a row that is no such refusal says so.


def readable(text: object, redaction: Redaction) -> str:
    """Return a provider's text without credentials, on one line and shortened; "" for anything but text."""
    return one_line(redaction(text), MAX_TEXT) if isinstance(text, str) else ""


def provider_error(
    rule: ErrorRule,
    provider: str,
    *,
    words: str = "",
    reference: str | None = None,
    wait: int | None = None,
) -> ProviderError:
    """Return the failure of a row; `wait` is the provider's own and counts only where the row has one as well."""
    message = rule.message
    if words and issubclass(rule.error, SHOWN_WITH_WORDS):
        message = f"{message.removesuffix('.')}: {words}"
    details: ProviderErrorDetails = {
        "provider": provider,
        "hint": rule.hint,
        "reference": reference,
        "retry_after": (wait or rule.wait) if rule.wait else None,
        "retry_strategy": rule.retry_strategy,
        "words": words or None,
        "cause": rule.cause,
        "reason": rule.reason,
        "charge": rule.charge,
    }
    if issubclass(rule.error, ProviderRateLimitedError):
        return rule.error(message, whole_app=rule.whole_app, wait_reported=wait is not None, **details)
    return rule.error(message, **details)
