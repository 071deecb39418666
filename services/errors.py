"""The tree of failures. Each class carries its HTTP status and the code that callers branch on.

Those that one package raises are there: `services.media`, `services.reports.errors`, `services.webhooks.errors`. The
message of a failure, where it differs from that of its class, and the hint stand where it is raised; for a provider's
refusals that is the row of its code, in `services.clients.graph.error_codes` and `services.clients.modash.error_codes`.

InsightsError
├── InvalidRequestError            400  the caller must change the request
├── AccountUnknownError            404
├── InsufficientScopeError         403  the key of the caller is not for this
├── RefreshForbiddenError          403
├── LocalCallerOnlyError           403
├── BusyError                      503  every place to wait in is taken; try again in a second
├── WebhookNotConfiguredError      503  the operator must set the verify token or an app secret
├── VerifyTokenInvalidError        403
├── SignatureMissingError          401
├── SignatureInvalidError          403
├── DeliveryNotKeptError           503  it is not stored; send it again
└── ProviderError                       a provider did not give what was asked of it
    ├── ProviderNotConfiguredError 503
    ├── TokenExpiredError          401  the operator must renew the Instagram token
    ├── TokenInvalidError          401
    ├── ModashKeyInvalidError      401
    ├── PermissionDeniedError     403
    ├── InsufficientCreditsError   403
    ├── CreditLimitReachedError    402  our own limit, so nothing was asked
    ├── CreditBudgetReachedError   402  the budget of the caller's key, so nothing was asked
    ├── ObjectNotFoundError        404
    ├── CreatorNotFoundError       404  one code for each cause
    ├── CreatorRefusedError        400
    ├── MediaTooOldError           422  never worth asking again
    ├── AlbumChildError            422
    ├── InsufficientViewersError   422
    ├── StoryExpiredError          410
    ├── ProviderRateLimitedError   429  wait for `retry_after`
    ├── ProviderRefusedError       502  asked in a way the provider does not accept
    ├── ProviderResponseError      502  the answer cannot be read
    ├── ProviderBlockedError       503
    ├── ProviderUnavailableError   503  try again soon
    ├── LedgerUnavailableError     503  nothing is paid that cannot be booked
    ├── ReportUncertainError       503  a call never came back; wait for `retry_after`
    ├── ReportNotReadyError        503  the attempts are used up; a later request starts over
    ├── ProviderTimeoutError       504
    └── DeadlineExceededError      504  our own limit for a request; ask again
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Required, Self, TypedDict, Unpack

MAX_TRIES = 3  # of one read that costs nothing, where trying again may help


class RetryStrategy(Enum):
    """What the gateway does after a failed provider call; docs/provider-errors.md shows these texts."""

    TRY_AGAIN = f"tries again, up to {MAX_TRIES} tries in total"
    SHRINK = "tries once again, then asks for less at once (fewer metrics, no breakdown, smaller pages, fewer days)"
    ONCE_MORE = "tries once again"
    SPLIT = "insights: asks for the other metrics alone, remembers the refused one for an hour; else stops"
    STOP = "stops the request: nothing else would be answered"
    NOTHING = "asks only once"


class Charge(Enum):
    """What a failed call may have cost, as far as its failure shows. The ledger books nothing else than this."""

    NONE = "none"  # The call was never sent, or the provider refused it in a readable way.
    UNKNOWN = "unknown"  # The call was sent and no readable answer came back.
    CHARGED = "charged"


class InsightsError(Exception):
    """The reason why a request has no answer; its class gives the HTTP status and the code."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    usual_wait: ClassVar[int | None] = None  # seconds, where a failure has none of its own

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


class InsufficientScopeError(InsightsError):
    """The API key of the caller does not allow this."""

    status = 403
    code = "insufficient_scope"


class RefreshForbiddenError(InsightsError):
    """This caller may not use `refresh`."""

    status = 403
    code = "refresh_forbidden"


class LocalCallerOnlyError(InsightsError):
    """The endpoint is for setting up the gateway, on its own machine."""

    status = 403
    code = "local_caller_only"


class BusyError(InsightsError):
    """As many requests as may wait for a provider are waiting."""

    status = 503
    usual_wait = 1
    code = "busy"


class ProviderErrorDetails(TypedDict, total=False):
    """The keyword arguments of every `ProviderError`."""

    provider: Required[str | None]
    hint: str | None
    reference: str | None
    retry_after: int | None
    reached: bool
    charge: Charge | None
    retry_strategy: RetryStrategy
    words: str | None
    cause: str | None
    reason: str | None


class ProviderError(InsightsError):
    """A provider refused, failed or was not reached.

    `reached` is false only when no connection was made. `charge` is what the call may have cost: each place that makes
    a failure of a sent call knows that and sets it. `words` are the provider's own, without credentials. `cause` stands
    in for the class's code where a class has several. `reason` says why a refused metric is unknown, where the
    provider's code has a cause of its own.
    """

    status = 502
    code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        provider: str | None,
        hint: str | None = None,
        reference: str | None = None,
        retry_after: int | None = None,
        reached: bool = True,
        charge: Charge | None = None,
        retry_strategy: RetryStrategy = RetryStrategy.STOP,
        words: str | None = None,
        cause: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.provider = provider
        self.reference = reference
        self.reached = reached
        # A new failure that forgets to say what it may have cost must not lead to a second charge, so the default of a
        # sent call is the careful one.
        self.charge = charge or (Charge.UNKNOWN if reached else Charge.NONE)
        self.retry_strategy = retry_strategy
        self.words = words
        self.code = cause or self.code
        self.reason = reason

    def unsent(self, *, retry_after: int | None) -> Self:
        """Return the same failure for a call that is not sent because of it, which costs nothing.

        Nothing repeats such a call, for the cause of the failure still holds.
        """
        return type(self)(self.message, **self._unsent_details(retry_after))

    def _unsent_details(self, retry_after: int | None) -> ProviderErrorDetails:
        return {
            "provider": self.provider,
            "hint": self.hint,
            "reference": self.reference,
            "retry_after": retry_after,
            "reached": False,
            "charge": Charge.NONE,
            "retry_strategy": RetryStrategy.STOP,
            "words": self.words,
            "cause": self.code,
            "reason": self.reason,
        }


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


class PermissionDeniedError(ProviderError):
    """The gateway's credentials do not allow this read."""

    status = 403
    code = "permission_denied"


class InsufficientCreditsError(ProviderError):
    """The Modash balance is used up."""

    status = 403
    code = "insufficient_credits"


class ObjectNotFoundError(ProviderError):
    """Instagram has no such object, or does not show it to this token."""

    status = 404
    code = "object_not_found"


class CreatorNotFoundError(ProviderError):
    """Modash has no public creator by that name; `code` names which of its four causes."""

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
    """The media was posted before the account became a professional one; it never has insights."""

    status = 422
    code = "media_too_old"


class InsufficientViewersError(ProviderError):
    """Too few people have seen the media for Instagram to report."""

    status = 422
    code = "insufficient_viewers"


class ProviderRateLimitedError(ProviderError):
    """The provider asks us to slow down."""

    status = 429
    code = "provider_rate_limited"

    def __init__(
        self,
        message: str,
        *,
        whole_app: bool = False,
        wait_reported: bool = False,
        **details: Unpack[ProviderErrorDetails],
    ) -> None:
        """`whole_app`: every account has to wait, not only one. `wait_reported`: the provider gave `retry_after`."""
        super().__init__(message, **details)
        self.whole_app = whole_app
        self.wait_reported = wait_reported

    def unsent(self, *, retry_after: int | None) -> Self:
        """Return the same failure for a call that is not sent because of it."""
        return type(self)(
            self.message,
            whole_app=self.whole_app,
            wait_reported=self.wait_reported,
            **self._unsent_details(retry_after),
        )


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


class DeadlineExceededError(ProviderError):
    """The request has used up its time (REQUEST_DEADLINE), or a paid call its time to leave, before all was answered.

    It is a failure of this request alone: no other request gets it, and no provider is judged by it.
    """

    status = 504
    usual_wait = 5
    code = "deadline_exceeded"


TRANSIENT = (ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError)
"""Faults of the provider or of the way to it. One leaves a gap; any other failure concerns the whole account."""

PASSING = (*TRANSIENT, ProviderRateLimitedError, DeadlineExceededError, BusyError)
"""What passes by itself: it concerns the provider or the moment, and says nothing of an account or its token."""


def log_fields(failure: InsightsError, *, account: str) -> dict[str, object]:
    """Return the fields of a log line about a failure of background work for an account (id)."""
    return {
        "account": account,
        "code": failure.code,
        "provider": failure.provider if isinstance(failure, ProviderError) else None,
        "reason": failure.message,
        "next_step": failure.hint,
    }


def reason_of(failure: InsightsError) -> str:
    """Return a failure as the reason of an unknown number."""
    return "throttled" if isinstance(failure, ProviderRateLimitedError) else failure.code
