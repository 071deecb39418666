"""The tree of failures. Each class carries its HTTP status and the code that callers branch on.

InsightsError
├── InvalidRequestError            400  the caller must change the request
├── AccountUnknownError            404
├── RefreshForbiddenError          403
├── BusyError                      503  every place to wait in is taken; try again in a second
└── ProviderError                       a provider did not give what was asked of it
    ├── ProviderNotConfiguredError 503
    ├── TokenExpiredError          401  the operator must renew the Instagram token
    ├── TokenInvalidError          401
    ├── ModashKeyInvalidError      401
    ├── PermissionMissingError     403
    ├── InsufficientCreditsError   403
    ├── CreditLimitReachedError    402  our own limit, so nothing was asked
    ├── ObjectNotFoundError        404
    ├── CreatorNotFoundError       404  one code for each cause
    ├── CreatorRefusedError        400
    ├── MediaTooOldError           422  never worth asking again
    ├── InsufficientViewersError   422
    ├── ProviderRateLimitedError   429  wait as told
    ├── ProviderRefusedError       502  asked in a way the provider does not accept
    ├── ProviderResponseError      502  the answer cannot be read
    ├── ProviderBlockedError       503
    ├── ProviderUnavailableError   503  try again soon
    ├── LedgerUnavailableError     503  nothing is paid that cannot be booked
    ├── ReportUncertainError       503  a call never came back; wait as told
    ├── ReportNotReadyError        503  asked for often enough; a later caller begins anew
    └── ProviderTimeoutError       504
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Self


class Remedy(Enum):
    """What the gateway does when a provider fails it; the words stand in the README."""

    TRY_AGAIN = "tries again, 3 times at most"
    SHRINK = "asks for less at once (smaller pages, fewer metrics), then tries again, 3 times at most"
    SPLIT = "insights: asks for the other metrics alone, remembers the refused one for an hour; else stops"
    STOP = "stops the request: nothing else would be answered"
    NOTHING = "asks only once"


class InsightsError(Exception):
    """What a caller is told when there is no answer."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    usual_wait: ClassVar[int | None] = None  # seconds, where a failure does not tell its own

    def __init__(self, message: str, *, hint: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = self.usual_wait if retry_after is None else retry_after


class InvalidRequestError(InsightsError):
    """A parameter is wrong: the message names it, the hint says what is accepted."""

    status = 400
    code = "bad_request"


class AccountUnknownError(InsightsError):
    """The account does not exist, or this caller may not see it."""

    status = 404
    code = "account_unknown"


class RefreshForbiddenError(InsightsError):
    """This caller may not have everything read anew."""

    status = 403
    code = "refresh_forbidden"


class BusyError(InsightsError):
    """As many requests as may wait for a provider are waiting."""

    status = 503
    usual_wait = 1
    code = "busy"


class ProviderError(InsightsError):
    """A provider refused, failed or was not reached.

    `reached` is false only when no connection was made, so that nothing can have been charged. `words` are the
    provider's own, without credentials. `cause` stands in for the class's code where a class has several.
    """

    status = 502
    code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        hint: str | None = None,
        reference: str | None = None,
        retry_after: int | None = None,
        reached: bool = True,
        remedy: Remedy = Remedy.STOP,
        words: str | None = None,
        cause: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.provider = provider
        self.reference = reference
        self.reached = reached
        self.remedy = remedy
        self.words = words
        self.code = cause or self.code

    def unsent(self, *, retry_after: int | None) -> Self:
        """Return the failure anew, for a call that is not sent because of it; nothing repeats such a call."""
        return type(self)(
            self.message,
            provider=self.provider,
            hint=self.hint,
            reference=self.reference,
            retry_after=retry_after,
            reached=False,
            remedy=Remedy.STOP,
            words=self.words,
            cause=self.code,
        )


class ProviderNotConfiguredError(ProviderError):
    """The gateway has no credentials for this provider."""

    status = 503
    code = "provider_not_configured"


class TokenExpiredError(ProviderError):
    """The gateway's Instagram token is over; a new login is needed."""

    status = 401
    code = "token_expired"


class TokenInvalidError(ProviderError):
    """The gateway's Instagram token was never valid here, or was revoked."""

    status = 401
    code = "token_invalid"


class ModashKeyInvalidError(ProviderError):
    """Modash does not know the gateway's key."""

    status = 401
    code = "modash_key_invalid"


class PermissionMissingError(ProviderError):
    """The gateway's credentials do not allow this read."""

    status = 403
    code = "permission_missing"


class InsufficientCreditsError(ProviderError):
    """The Modash balance is used up."""

    status = 403
    code = "insufficient_credits"


class CreditLimitReachedError(ProviderError):
    """The gateway's own limit of credits for this month is reached, so nothing was asked."""

    status = 402
    code = "credit_limit_reached"


class LedgerUnavailableError(ProviderError):
    """The ledger is away, and nothing is paid that cannot be booked."""

    status = 503
    usual_wait = 5
    code = "ledger_unavailable"


class ReportUncertainError(ProviderError):
    """A call for the report never came back, so nobody knows whether it was paid."""

    status = 503
    code = "report_uncertain"


class ReportNotReadyError(ProviderError):
    """Modash did not have the report ready however often it was asked."""

    status = 503
    code = "report_not_ready"


class ObjectNotFoundError(ProviderError):
    """Instagram has no such object, or does not show it to this token."""

    status = 404
    code = "object_not_found"


class CreatorNotFoundError(ProviderError):
    """Modash has no public creator by that name; `code` tells which of its four causes."""

    status = 404
    code = "creator_not_found"
    CODES: ClassVar[tuple[str, ...]] = (
        "creator_not_found",
        "handle_not_found",
        "account_not_found",
        "account_removed",
        "private_account",
    )


class CreatorRefusedError(ProviderError):
    """Modash does not accept the creator's name as it was given."""

    status = 400
    code = "bad_request"


class MediaTooOldError(ProviderError):
    """The media was posted before the account became a professional one; it has no insights, for ever."""

    status = 422
    code = "media_too_old"


class InsufficientViewersError(ProviderError):
    """Too few people have seen the media for Instagram to tell."""

    status = 422
    code = "insufficient_viewers"


class ProviderRateLimitedError(ProviderError):
    """The provider asks us to slow down."""

    status = 429
    code = "provider_rate_limited"
    whole_app = False  # whether every account has to wait, not only the one that was asked for
    wait_told = False  # whether the wait is the provider's own word

    def unsent(self, *, retry_after: int | None) -> Self:
        """Return the failure anew, as any other."""
        anew = super().unsent(retry_after=retry_after)
        anew.whole_app, anew.wait_told = self.whole_app, self.wait_told
        return anew


class ProviderRefusedError(ProviderError):
    """The provider does not accept what the gateway asked."""

    status = 502
    code = "provider_refused"


class ProviderResponseError(ProviderError):
    """The provider's answer is not what it should be."""

    status = 502
    code = "provider_response_invalid"


class ProviderBlockedError(ProviderError):
    """The provider blocks the gateway for a while, for reasons of policy."""

    status = 503
    code = "provider_blocked"


class ProviderUnavailableError(ProviderError):
    """The provider is down, or was not reached."""

    status = 503
    usual_wait = 60
    code = "provider_unavailable"


class ProviderTimeoutError(ProviderError):
    """The provider did not answer in time."""

    status = 504
    usual_wait = 60
    code = "provider_timeout"
