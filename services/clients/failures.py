"""Makes a failure of a row of the outcome table and of the provider's own words."""

from __future__ import annotations

from textwrap import shorten

from services.clients.outcomes import Outcome
from services.errors import (
    CreatorRefusedError,
    PermissionMissingError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRefusedError,
)
from services.redaction import Redaction

MAX_TEXT = 300  # characters of a provider's message that are passed on
# Our message alone would not tell what to change.
SAID_WITH_WORDS = (CreatorRefusedError, PermissionMissingError, ProviderRefusedError)


def readable(text: object, redaction: Redaction) -> str:
    """Return a provider's text without credentials, on one line, not too long; nothing for what is no text."""
    return shorten(redaction(text), MAX_TEXT, placeholder=" ...") if isinstance(text, str) else ""


def as_failure(
    outcome: Outcome,
    provider: str,
    *,
    words: str = "",
    reference: str | None = None,
    wait: int | None = None,
) -> ProviderError:
    """Return the failure of a row; `wait` is the provider's own, believed where the row has one as well."""
    message = outcome.message
    if words and issubclass(outcome.error, SAID_WITH_WORDS):
        message = f"{message.removesuffix('.')}: {words}"
    failure = outcome.error(
        message,
        provider=provider,
        hint=outcome.hint,
        reference=reference,
        retry_after=(wait or outcome.wait) if outcome.wait else None,
        remedy=outcome.remedy,
        words=words or None,
        cause=outcome.cause,
    )
    if isinstance(failure, ProviderRateLimitedError):
        failure.whole_app, failure.wait_told = outcome.whole_app, wait is not None
    return failure
