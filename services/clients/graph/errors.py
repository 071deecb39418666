"""Reads a refusal of Instagram: its row of the error table, and the details of this answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from services.clients.error_mapping import ErrorRule, provider_error, readable
from services.clients.graph.error_codes import INSTAGRAM_RULES, UNKNOWN, instagram_rule
from services.clients.graph.models import Account
from services.clients.graph.usage_headers import seconds_to_regain_access
from services.clients.guard.state import GuardedProvider
from services.clients.guard.usage import APP, Usage
from services.clients.http import TOO_MANY, Reply
from services.errors import Charge, ProviderError, ProviderRateLimitedError, ProviderResponseError, RetryStrategy
from services.redaction import Redaction

SERVER_ERROR = 500
PASSING = frozenset({RetryStrategy.TRY_AGAIN, RetryStrategy.SHRINK})


def graph_error(error: Mapping[str, object], reply: Reply, *, account: Account, redaction: Redaction) -> ProviderError:
    """Return the failure of an error envelope, of which `error` is the inner object."""
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    words = readable(error.get("message"), redaction)
    rule = instagram_rule(code, subcode, words)
    if rule is None and reply.status == TOO_MANY:
        return throttled(reply, account)
    if rule is None:
        rule = INSTAGRAM_RULES[2, None] if error.get("is_transient") is True else UNKNOWN
    if reply.status >= SERVER_ERROR:
        rule = _as_passing(rule)
    return provider_error(
        rule,
        "instagram",
        words=words,
        reference=readable(error.get("fbtrace_id"), redaction) or None,
        wait=_wait(reply, account),
    )


def _as_passing(rule: ErrorRule) -> ErrorRule:
    """Return the row for a 5xx, which is a passing fault whatever its code: no token, permission or metric is to blame.

    A throttle still counts, because calls during its wait extend it. Code 100 is repeated as well, but keeps its words:
    Meta has answered a removed parameter with code 100 and status 500.
    """
    if rule.retry_strategy in PASSING or issubclass(rule.error, ProviderRateLimitedError):
        return rule
    if rule is INSTAGRAM_RULES[100, None]:
        return replace(rule, retry_strategy=RetryStrategy.TRY_AGAIN)
    return INSTAGRAM_RULES[2, None]


def refused_by_status(reply: Reply, account: Account) -> ProviderError | None:
    """Return the failure of an answer without an error envelope, whatever its body, or None where its status is none.

    A 5xx without one comes from something in front of the API, for instance a load balancer with a page in HTML.
    """
    if reply.status == TOO_MANY:
        return throttled(reply, account)
    if reply.status >= SERVER_ERROR:
        return provider_error(INSTAGRAM_RULES[2, None], "instagram")
    return None


def throttled(reply: Reply, account: Account) -> ProviderError:
    """Return the failure of an answer with status 429 and without a known error code."""
    return provider_error(INSTAGRAM_RULES[4, None], "instagram", wait=_wait(reply, account))


def unreadable(what: str) -> ProviderResponseError:
    """Return the failure of an answer that cannot be read; `what` says what came."""
    return ProviderResponseError(
        f"Instagram sends {what}.",
        provider="instagram",
        hint="Try again in a minute; its servers may be down.",
        charge=Charge.NONE,  # No call of the Graph API costs anything.
    )


def _wait(reply: Reply, account: Account) -> int | None:
    return seconds_to_regain_access(reply.headers, account, now=reply.received_at)


def _number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def throttled_by_usage(usage: Usage) -> ProviderError:
    """Return the failure of calls that are held back because a usage header says that a limit is reached."""
    return provider_error(INSTAGRAM_RULES[4 if usage.account == APP else 80002, None], "instagram")


INSTAGRAM = GuardedProvider("instagram", throttled=throttled_by_usage)
"""What the guard in front of Instagram has to know."""
