"""The metrics of GET /metrics: names, types, labels and meanings, which docs/operations.md lists too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from services.store.counters import PROCESS_ALIVE_FOR
from services.store.notifications import GIVEN_UP_KEPT_DAYS


class Family(NamedTuple):
    """A metric: its labels (without those that Prometheus adds), and what it means."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


# Seconds. A reply from the cache takes about 0.001, a read of a provider 0.1 to 10.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS, REQUEST_SECONDS = "insights_requests", "insights_request_seconds"
CALLS, CALL_SECONDS = "insights_provider_calls", "insights_provider_call_seconds"
DELIVERIES, LOG_LINES_LOST = "insights_notification_attempts", "insights_log_lines_lost"
RESPONSE_CACHE_BYTES, PROCESSES = "insights_response_cache_bytes", "insights_processes"
BREAKER_STATE, ACCOUNTS_PAUSED = "insights_breaker_state", "insights_accounts_paused"
DATABASE_UP, BUILD_INFO = "insights_database_up", "insights_build_info"
WORKERS, JOBS = "insights_workers", "insights_jobs"
WEBHOOK_CHANGES, NOTIFICATIONS = "insights_webhook_changes", "insights_notifications"
SET_APART, IN_TROUBLE = "insights_settlements_set_apart", "insights_accounts_in_trouble"
CREDITS_SPENT, CREDITS_LIMIT = "insights_credits_spent", "insights_credits_limit"
TOKENS, TOKEN_EXPIRES = "insights_tokens", "insights_token_expires_in_seconds"
CREDITS_BALANCE, QUOTA_USED = "insights_credits_balance", "insights_quota_used_ratio"

FAMILIES: Mapping[str, Family] = {
    REQUESTS: Family("counter", ("method", "route", "status", "cache"), "requests that were answered"),
    REQUEST_SECONDS: Family("histogram", ("route",), "seconds from a request to its reply"),
    CALLS: Family("counter", ("provider", "outcome"), "calls to providers, by status or code of failure"),
    CALL_SECONDS: Family("histogram", ("provider",), "seconds of a call to a provider"),
    DELIVERIES: Family("counter", ("outcome",), "attempts to deliver an event of the outgoing webhook"),
    LOG_LINES_LOST: Family("counter", (), "log lines that could not be written"),
    RESPONSE_CACHE_BYTES: Family("gauge", (), "bytes of the ready replies of all processes"),
    PROCESSES: Family("gauge", (), f"processes that counted something to this within {PROCESS_ALIVE_FOR:g} seconds"),
    BREAKER_STATE: Family("gauge", ("provider",), "0 closed, 1 half open, 2 open: the worst of all processes"),
    ACCOUNTS_PAUSED: Family("gauge", ("provider",), "accounts whose own breaker is not closed, in the worst process"),
    DATABASE_UP: Family("gauge", ("database",), "1 if the database can be used as it should be, else 0"),
    WORKERS: Family("gauge", (), "workers that are alive"),
    JOBS: Family("gauge", ("state",), "background jobs: waiting, running, late (over a minute), given_up"),
    WEBHOOK_CHANGES: Family("gauge", ("state",), "what webhooks brought: waiting to be applied, failed"),
    NOTIFICATIONS: Family(
        "gauge", ("state",), f"events of the outgoing webhook: waiting, given_up within {GIVEN_UP_KEPT_DAYS} days"
    ),
    IN_TROUBLE: Family("gauge", (), "accounts whose background reads need a person"),
    TOKENS: Family(
        "gauge",
        ("state",),
        "tokens in use: ok, expiring, expired, invalid, missing_permission, not_decrypted, unknown (not inspected)",
    ),
    TOKEN_EXPIRES: Family(
        "gauge",
        ("account",),
        "seconds until a token or its access to data ends; negative after it, 0 if it is refused before",
    ),
    CREDITS_SPENT: Family("gauge", (), "Modash credits that count as spent in this calendar month (UTC)"),
    CREDITS_LIMIT: Family("gauge", (), "MODASH_CREDIT_LIMIT"),
    CREDITS_BALANCE: Family("gauge", (), "credits left of the last known balance"),
    SET_APART: Family("gauge", (), "results of paid calls that the ledger could not book"),
    QUOTA_USED: Family(
        "gauge", ("provider", "account"), "used part of a rate limit, 0 to 1; account is empty for the app"
    ),
    BUILD_INFO: Family("gauge", ("version", "mode", "graph_api_version"), "always 1"),
}
