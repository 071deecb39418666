"""The kinds of background jobs: their names, which recur and when, and what is said of one that fails."""

from __future__ import annotations

from collections.abc import Mapping

from services.accounts.check_rotation import EVERY as CHECKS_EVERY
from services.accounts.token_refresh import CHECK_EVERY
from services.cache.policies import HOUR
from services.clients.guard.usage import QUOTA_PAUSE
from services.clients.retry_after import MAX_RETRY_AFTER
from services.reports.balance import BALANCE_JOB, READ_EVERY

SWEEP_INTERVAL = 600.0  # seconds
RETENTION_INTERVAL = 86_400.0  # seconds
FIRST_RETENTION_DELAY = 600.0  # seconds
ACCOUNTS_INTERVAL = 300.0  # seconds between looks for accounts that have no job of their own yet
NEW_TOKENS_INTERVAL = 60.0  # seconds between looks for tokens that were added or replaced
WEBHOOKS_INTERVAL = 2.0  # seconds
NOTIFICATIONS_INTERVAL = 2.0  # seconds
FIRST_ACCOUNTS_DELAY = 30.0  # seconds
FIRST_STORIES_DELAY = 60.0  # seconds after the first failure; as long as for a report after that
FIRST_POSTS_DELAY = 60.0  # seconds after the first failure
STORIES_OF = "stories of account"  # the kind of job, with an account as the key
POSTS_OF = "posts of account"
FIRST_CHECKS_DELAY = 120.0  # seconds; what callers and the history read comes first
FIRST_HISTORY_DELAY = 60.0  # seconds; a gateway that has just started has other things to do
FIRST_SNAPSHOT_RETRY = 60.0  # seconds after the first failure
SNAPSHOT_OF, BACKFILL_OF = "snapshot of account", "backfill of account"
TOKEN_OF = "token of account"  # noqa: S105  # A kind of job.
FIRST_TOKEN_RETRY = 60.0  # seconds after the first failure

FAILURES: Mapping[str, tuple[str, float]] = {
    STORIES_OF: ("Stories could not be read", FIRST_STORIES_DELAY),
    POSTS_OF: ("Posts could not be read", FIRST_POSTS_DELAY),
    SNAPSHOT_OF: ("A snapshot could not be taken", FIRST_SNAPSHOT_RETRY),
    BACKFILL_OF: ("A back-fill is interrupted", FIRST_SNAPSHOT_RETRY),
    TOKEN_OF: ("A token could not be checked", FIRST_TOKEN_RETRY),
}
"""The kinds of jobs whose key is an account: what is logged when one fails, and the seconds until the next try."""
PATIENT = frozenset({BACKFILL_OF})  # kinds of long work, which leave a place for others in each worker

RECURRING: Mapping[str, float] = {
    "tokens": FIRST_ACCOUNTS_DELAY,
    "sweep": SWEEP_INTERVAL,
    "retention": FIRST_RETENTION_DELAY,
    "webhooks": WEBHOOKS_INTERVAL,
    "notifications": NOTIFICATIONS_INTERVAL,
    "stories": FIRST_ACCOUNTS_DELAY,
    "posts": FIRST_ACCOUNTS_DELAY,
    "history": FIRST_HISTORY_DELAY,
    "checks": FIRST_CHECKS_DELAY,
}
"""The kinds of which there is always one job, and the seconds until its first run; the next is as its handler says."""
RARE: Mapping[str, float] = {"retention": RETENTION_INTERVAL}
"""The recurring kinds whose next run may be further away than their first one, and the seconds until it at most."""


LATEST: Mapping[str, float] = {
    "tokens": NEW_TOKENS_INTERVAL,
    "sweep": SWEEP_INTERVAL,
    "retention": RETENTION_INTERVAL,
    "webhooks": WEBHOOKS_INTERVAL,
    "notifications": NOTIFICATIONS_INTERVAL,
    "stories": ACCOUNTS_INTERVAL,
    "posts": ACCOUNTS_INTERVAL,
    "history": ACCOUNTS_INTERVAL,
    "checks": max(FIRST_CHECKS_DELAY, CHECKS_EVERY),
    # Those of accounts also begin within an hour of each other.
    STORIES_OF: 2 * HOUR,
    POSTS_OF: 2 * HOUR,
    SNAPSHOT_OF: 28 * HOUR,  # a day of 25 hours, with the hour of spring and the spread over the accounts
    BACKFILL_OF: QUOTA_PAUSE,
    TOKEN_OF: CHECK_EVERY + HOUR,
    BALANCE_JOB: READ_EVERY,
}
"""The seconds until the next run of a kind at most. One that is due later was put off before a clock was set back."""
LATEST_AFTER_FAILURE = float(MAX_RETRY_AFTER)  # seconds; a provider may ask for so long a wait
