"""The events that the outgoing webhook announces."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What has happened; the name is the `type` of the payload."""

    TOKEN_EXPIRING = "token.expiring"  # noqa: S105  # A name, no token.
    TOKEN_DEAD = "token.dead"  # noqa: S105
    ACCOUNT_TROUBLE = "account.trouble"
    ACCOUNT_RECOVERED = "account.recovered"
    REPORT_READY = "report.ready"
    REPORT_FAILED = "report.failed"


EVENTS = tuple(event.value for event in Event)
TEST = "test"  # the type of the payload that `make notify ARGS=test` sends
