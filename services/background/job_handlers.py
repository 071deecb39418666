"""The jobs that run in the background: what each kind does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from services.accounts.check_rotation import EVERY as CHECKS_EVERY
from services.accounts.check_rotation import CheckRotation
from services.accounts.token_refresh import TokenRefresh
from services.background.job_runner import Handler, Reschedule, retry_delay
from services.background.job_schedule import (
    ACCOUNTS_INTERVAL,
    BACKFILL_OF,
    FAILURES,
    NEW_TOKENS_INTERVAL,
    NOTIFICATIONS_INTERVAL,
    POSTS_OF,
    RETENTION_INTERVAL,
    SNAPSHOT_OF,
    STORIES_OF,
    SWEEP_INTERVAL,
    TOKEN_OF,
    WEBHOOKS_INTERVAL,
)
from services.caller import ANONYMOUS_NAME
from services.clients.guard.usage import QUOTA_PAUSE
from services.clock import Clock
from services.errors import AccountUnknownError, BusyError, ProviderError, ProviderNotConfiguredError, log_fields
from services.history.retention import Retention
from services.history.snapshots import AccountSnapshotter
from services.media.story_polling import NEVER_WITHIN, StoryPolling
from services.notifications.delivery import NotificationDelivery
from services.notifications.troubles import AccountTroubles
from services.posts.post_polling import PostPolling
from services.reports.balance import BALANCE_JOB, CreditBalance
from services.reports.follow_up import FollowUp
from services.reports.settlements import FOLLOW_UP_JOB
from services.store.store import Store
from services.webhooks.application import WebhookApplication

if TYPE_CHECKING:
    from services.wiring.container import Services

OVERDUE_DELAY = 60.0  # seconds until an overdue report is asked for again
RETENTION_RUN, RETENTION_PAUSE = 2.0, 5.0  # seconds; other writers of a SQLite file have the time between the runs
WEBHOOKS_RUN = 5.0  # seconds; a worker that has to stop waits no longer for this job
NOTIFICATIONS_RUN = 5.0  # seconds; with one attempt of 10 s more, other jobs have three of four places meanwhile
ACCOUNTS_APART = 0.35  # seconds between the first jobs of accounts, so that 10,000 begin within an hour
SLICES_APART = 2.0  # seconds between two slices of the back-fill of an account
# What ends one run of an account's job, and not the job: a provider failed, or the account table cannot be read.
NOT_READ = (ProviderError, BusyError)

log = logging.getLogger(__name__)


def _follow_up(
    follow_up: FollowUp, clock: Clock, creator: str, payload: Mapping[str, Any], _attempts: int
) -> Reschedule | None:
    """Ask again for a report that was not ready, as often as the purchase policy allows.

    The key that caused it stays named, and its budget pays. Jobs of earlier releases name none.
    """
    due_at = follow_up.attempt(creator, key=payload.get("caller", ANONYMOUS_NAME))
    return None if due_at is None else _reschedule(due_at, clock)


def _read_balance(
    balance: CreditBalance, clock: Clock, _key: str, _payload: Mapping[str, Any], _attempts: int
) -> Reschedule | None:
    """Read the balance of the Modash credits, unless that is too early."""
    due_at = balance.read()
    return None if due_at is None else _reschedule(due_at, clock)


def _reschedule(due_at: float, clock: Clock) -> Reschedule:
    left = due_at - clock.timestamp()
    # An overdue job could not be done: its provider is throttled or failing, or the ledger is unavailable.
    return Reschedule(left if left > 0 else OVERDUE_DELAY)


def apply_webhooks(
    application: WebhookApplication, _key: str, _payload: Mapping[str, Any], _attempts: int
) -> Reschedule:
    """Read and apply what webhooks have brought."""
    done = application.run(seconds=WEBHOOKS_RUN)
    return Reschedule(WEBHOOKS_INTERVAL, reset_attempts=True, is_idle=not done)


def _sweep(
    store: Store,
    webhooks: WebhookApplication,
    _key: str,
    _payload: Mapping[str, Any],
    _attempts: int,
    *,
    has_receiver: bool,
) -> Reschedule:
    store.sweep()
    webhooks.sweep()
    now = store.clock.timestamp()
    if not has_receiver and (given_up := store.notifications.give_up_overdue(now)):
        log.error("Events are given up that waited for a receiver; NOTIFY_URL is not set", extra={"n": given_up})
    store.notifications.sweep(now)
    return Reschedule(SWEEP_INTERVAL, reset_attempts=True)


def _retain(retention: Retention, _key: str, _payload: Mapping[str, Any], _attempts: int) -> Reschedule:
    """Delete history that is older than the settings keep it."""
    is_complete = retention.run(seconds=RETENTION_RUN)
    return Reschedule(RETENTION_INTERVAL if is_complete else RETENTION_PAUSE, reset_attempts=True)


def _begin_per_account(
    kind: str,
    accounts: Callable[[], Collection[str]],
    store: Store,
    clock: Clock,
    _key: str,
    _payload: Mapping[str, Any],
    _attempts: int,
) -> Reschedule:
    """See to it that every account has a job of a kind."""
    again = Reschedule(ACCOUNTS_INTERVAL, reset_attempts=True)
    try:
        found = set(accounts())
    except BusyError:
        return again
    for number, account in enumerate(sorted(found - store.jobs.keys(kind))):
        store.jobs.put(kind, account, due_at=clock.timestamp() + number * ACCOUNTS_APART)
    return again


def _after_failure(
    kind: str, account: str, error: ProviderError | BusyError, attempts: int, troubles: AccountTroubles
) -> Reschedule:
    """Log why the job of an account failed, announce what needs a person, and try again later and later.

    An account whose token cannot be decrypted has no line: `AccountRegistry` logs one for all of them.
    """
    message, first = FAILURES[kind]
    again = Reschedule(max(retry_delay(attempts - 1, first=first), error.retry_after or 0))
    if isinstance(error, ProviderNotConfiguredError):
        return replace(again, is_idle=True)
    log.warning(message, extra=log_fields(error, account=account))
    if isinstance(error, ProviderError):
        troubles.failed(account, kind, error)
    return again


def _after_run(
    kind: str, account: str, due_at: float, troubles: AccountTroubles, clock: Clock, *, is_read: bool
) -> Reschedule:
    """Run again when it is due; only what was really read ends a trouble and the delays after failures."""
    seconds = max(due_at - clock.timestamp(), 1.0)
    if not is_read:
        return Reschedule(seconds, is_attempt=False)
    troubles.worked(account, kind)
    return Reschedule(seconds, reset_attempts=True)


def _read_stories(
    polling: StoryPolling,
    troubles: AccountTroubles,
    clock: Clock,
    account: str,
    _payload: Mapping[str, Any],
    attempts: int,
) -> Reschedule | None:
    """Read the stories of an account; after a failure try again later and later, but before a story ends."""
    try:
        run = polling.read(account)
    except AccountUnknownError:
        troubles.removed(account)
        return None
    except NOT_READ as error:
        again = _after_failure(STORIES_OF, account, error, attempts, troubles)
        if not again.is_idle and (moment := polling.next_last_moment(account)) is not None:
            within = max(moment - clock.timestamp(), NEVER_WITHIN)
            return Reschedule(max(min(again.seconds, within), error.retry_after or 0))
        return again
    return _after_run(STORIES_OF, account, run.due_at, troubles, clock, is_read=run.is_read)


def _look_at_posts(
    polling: PostPolling,
    troubles: AccountTroubles,
    clock: Clock,
    account: str,
    _payload: Mapping[str, Any],
    attempts: int,
) -> Reschedule | None:
    """Look at the posts of an account; after a failure try again later and later."""
    try:
        run = polling.look(account)
    except AccountUnknownError:
        troubles.removed(account)
        return None
    except NOT_READ as error:
        return _after_failure(POSTS_OF, account, error, attempts, troubles)
    return _after_run(POSTS_OF, account, run.due_at, troubles, clock, is_read=run.is_read)


def _take_snapshot(
    snapshots: AccountSnapshotter,
    troubles: AccountTroubles,
    store: Store,
    account: str,
    _payload: Mapping[str, Any],
    attempts: int,
) -> Reschedule | None:
    """Take the daily snapshot of an account; after a failure try again later and later."""
    try:
        run = snapshots.take_snapshot(account, attempts=attempts)
    except AccountUnknownError:
        troubles.removed(account)
        return None
    except NOT_READ as error:
        return _after_failure(SNAPSHOT_OF, account, error, attempts, troubles)
    if run.has_gaps:
        store.jobs.put(BACKFILL_OF, account, due_at=store.clock.timestamp())
    return _after_run(SNAPSHOT_OF, account, run.due_at, troubles, store.clock, is_read=run.is_taken)


def _backfill(
    snapshots: AccountSnapshotter,
    troubles: AccountTroubles,
    account: str,
    _payload: Mapping[str, Any],
    attempts: int,
) -> Reschedule | None:
    """Read a slice of the past of an account, until nothing is left; after a failure try again later and later."""
    try:
        step = snapshots.backfill(account)
    except AccountUnknownError:
        troubles.removed(account)
        return None
    except NOT_READ as error:
        return _after_failure(BACKFILL_OF, account, error, attempts, troubles)
    if step.is_paused:
        return Reschedule(QUOTA_PAUSE, is_idle=True, is_attempt=False)
    troubles.worked(account, BACKFILL_OF)
    return Reschedule(SLICES_APART, reset_attempts=True, is_idle=True) if step.left else None


def deliver_notifications(
    delivery: NotificationDelivery, _key: str, _payload: Mapping[str, Any], _attempts: int
) -> Reschedule:
    """Deliver what waits for the outgoing webhook."""
    tried = delivery.run(seconds=NOTIFICATIONS_RUN)
    return Reschedule(NOTIFICATIONS_INTERVAL, reset_attempts=True, is_idle=not tried)


def _begin_tokens(
    refresh: TokenRefresh, store: Store, clock: Clock, _key: str, _payload: Mapping[str, Any], _attempts: int
) -> Reschedule:
    """See to it that every token is checked, at once where it is new here."""
    had = store.jobs.keys(TOKEN_OF)
    again = _begin_per_account(TOKEN_OF, refresh.accounts, store, clock, _key, _payload, _attempts)
    with suppress(BusyError):
        for number, account in enumerate(sorted(had & set(refresh.unseen()))):
            store.jobs.put(TOKEN_OF, account, due_at=clock.timestamp() + number * ACCOUNTS_APART)
    return replace(again, seconds=NEW_TOKENS_INTERVAL)


def _keep_token(
    refresh: TokenRefresh,
    troubles: AccountTroubles,
    clock: Clock,
    account: str,
    _payload: Mapping[str, Any],
    attempts: int,
) -> Reschedule | None:
    """Check the token of an account and refresh it; after a failure try again later and later."""
    try:
        found = refresh.check(account)
    except AccountUnknownError:
        troubles.removed(account)
        return None
    except NOT_READ as error:
        return _after_failure(TOKEN_OF, account, error, attempts, troubles)
    return _after_run(TOKEN_OF, account, found.due_at, troubles, clock, is_read=found.is_accepted)


def _check_accounts(rotation: CheckRotation, _key: str, _payload: Mapping[str, Any], _attempts: int) -> Reschedule:
    """Check the accounts that were not checked for a day."""
    try:
        checked = rotation.run()
    except BusyError:
        checked = 0
    return Reschedule(CHECKS_EVERY, reset_attempts=True, is_idle=not checked)


def handlers(services: Services, clock: Clock) -> Mapping[str, Handler]:
    """Return the handler of each kind of job."""
    troubles = services.account_troubles
    optional: dict[str, Handler] = {}
    if services.notification_delivery is not None:
        optional["notifications"] = partial(deliver_notifications, services.notification_delivery)
    return optional | {
        "sweep": partial(
            _sweep,
            services.store,
            services.webhook_application,
            has_receiver=services.notification_delivery is not None,
        ),
        "retention": partial(_retain, services.retention),
        "webhooks": partial(apply_webhooks, services.webhook_application),
        FOLLOW_UP_JOB: partial(_follow_up, services.follow_up, clock),
        "stories": partial(_begin_per_account, STORIES_OF, services.story_polling.accounts, services.store, clock),
        STORIES_OF: partial(_read_stories, services.story_polling, troubles, clock),
        "posts": partial(_begin_per_account, POSTS_OF, services.post_polling.accounts, services.store, clock),
        POSTS_OF: partial(_look_at_posts, services.post_polling, troubles, clock),
        "history": partial(_begin_per_account, SNAPSHOT_OF, services.snapshots.accounts, services.store, clock),
        SNAPSHOT_OF: partial(_take_snapshot, services.snapshots, troubles, services.store),
        BACKFILL_OF: partial(_backfill, services.snapshots, troubles),
        "tokens": partial(_begin_tokens, services.token_refresh, services.store, clock),
        TOKEN_OF: partial(_keep_token, services.token_refresh, troubles, clock),
        "checks": partial(_check_accounts, services.check_rotation),
        BALANCE_JOB: partial(_read_balance, services.credit_balance, clock),
    }
