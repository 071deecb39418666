"""The object graph: the services behind the routes, and the one place where they are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

from config import Config
from services.access.keys import AccessKeys
from services.access.request_rates import RequestRates
from services.account_history import AccountHistory
from services.account_insights import AccountInsights
from services.account_list import AccountList
from services.accounts.check_rotation import CheckRotation
from services.accounts.checks import AccountChecks
from services.accounts.checkup import Checkup
from services.accounts.health import HealthRecorder
from services.accounts.registry import AccountRegistry
from services.accounts.rekeying import Rekeying
from services.accounts.resolver import AccountResolver, ConfiguredAccount
from services.accounts.token_encryption import TokenEncryption
from services.accounts.token_states import TokenStates
from services.accounts.token_upkeep import TokenUpkeep
from services.answers import Origin
from services.audience import Audience
from services.background.heartbeat import Heartbeat
from services.background.job_kinds import SWEEP_INTERVAL
from services.cache.cache import Cache
from services.cache.single_flight import EXTENSION_INTERVAL
from services.capabilities import Capabilities
from services.clients.graph.errors import INSTAGRAM
from services.clients.graph.tokens import TokenClient
from services.clients.guard.guard import Guard
from services.clients.modash.error_codes import MODASH
from services.clients.rate_limiter import RateLimiter
from services.clock import Clock
from services.compare import Comparison
from services.credits import Credits
from services.days import EndTime
from services.executors import Executor
from services.export import Export
from services.formats import Formats
from services.growth.kept_counts import KeptCounts
from services.growth.parts import GrowthReader
from services.growth_trends import GrowthTrends
from services.history.followers import FollowerRecorder
from services.history.retention import Retention
from services.history.snapshots import AccountSnapshotter, HistoryTables
from services.insights.audience_reader import AudienceReader
from services.insights.kept_values import KeptValues
from services.insights.long_windows import LongWindowReader
from services.insights.reader import InsightsReader
from services.insights_test import InsightsTest
from services.media.expansion import ExpansionReader
from services.media.index import MediaIndex
from services.media.kept_stories import KeptStories
from services.media.reader import MediaReader
from services.media.refusals import MediaRefusals
from services.media.story_polling import StoryPolling
from services.media.story_reader import StoryReader
from services.media.viewers import ViewersCheck
from services.media_insights import MediaInsightsService
from services.monitoring.exchange import Exchange
from services.monitoring.exposition import Monitoring
from services.monitoring.measurements import Measurements
from services.monitoring.state import GatewayState, breaker_values
from services.notifications.delivery import NotificationDelivery
from services.notifications.events import EVENTS
from services.notifications.notifications import Notifications
from services.notifications.troubles import AccountTroubles
from services.performance_data import PerformanceData
from services.post_history import PostHistory
from services.posting_times import PostingTimes
from services.posts.compared import ComparedPostsReader
from services.posts.insights import PostInsightsReader
from services.posts.kept_posts import KeptPosts, both
from services.posts.post_polling import PostPolling
from services.posts.reader import PostReader
from services.quota import Quota, SharedThrottles, shared_rate_limit
from services.readiness import Readiness
from services.redaction import Redaction
from services.reports.announcements import ReportAnnouncements
from services.reports.answers import ReportAnswers
from services.reports.balance import CreditBalance
from services.reports.failures import CallFailures
from services.reports.follow_up import FollowUp
from services.reports.purchasing import ReportPurchasing
from services.reports.renewals import ReportRenewals
from services.reports.settlements import Settlements
from services.request_context import WaitingSlots, patience
from services.status import Status
from services.store.sections import DAYS, MEDIA
from services.store.store import Store
from services.stories import AccountStories
from services.top_posts import TopPosts
from services.webhooks.application import Handler as WebhookHandler
from services.webhooks.application import WebhookApplication
from services.webhooks.receiver import Webhooks
from services.wiring.provider_clients import (
    account_tokens,
    app_secrets,
    graph_client,
    may_refresh,
    modash_client,
    purchase_policy,
    receiver_client,
)

A_SECOND = 0.9  # seconds; the heartbeat beats every half second, so that is once a second
TRY_INTERVAL = 60.0  # seconds; a fault is logged also where no caller notices it


@dataclass(frozen=True)
class Services:
    """The services to which routes delegate, and what they share."""

    account_insights: AccountInsights
    growth_trends: GrowthTrends
    compare: Comparison
    account_history: AccountHistory
    account_list: AccountList
    post_history: PostHistory
    posting_times: PostingTimes
    formats: Formats
    top_posts: TopPosts
    media_insights: MediaInsightsService
    insights_test: InsightsTest
    capabilities: Capabilities
    audience: Audience
    stories: AccountStories
    export: Export
    retention: Retention
    performance_data: PerformanceData
    settlements: Settlements
    kept_stories: KeptStories
    story_polling: StoryPolling
    kept_posts: KeptPosts
    post_polling: PostPolling
    snapshots: AccountSnapshotter
    follow_up: FollowUp
    renewals: ReportRenewals
    credit_balance: CreditBalance
    credits: Credits
    status: Status
    webhooks: Webhooks
    webhook_application: WebhookApplication
    notifications: Notifications
    notification_delivery: NotificationDelivery | None
    account_troubles: AccountTroubles
    limits: Quota
    readiness: Readiness
    measurements: Measurements
    monitoring: Monitoring
    access_keys: AccessKeys
    request_rates: RequestRates
    accounts: AccountResolver
    checkup: Checkup
    check_rotation: CheckRotation
    health_recorder: HealthRecorder
    token_encryption: TokenEncryption
    token_client: TokenClient
    token_states: TokenStates
    token_upkeep: TokenUpkeep
    cache: Cache
    store: Store
    heartbeat: Heartbeat
    waiting_slots: WaitingSlots
    executor: Executor
    guards: Mapping[str, Guard]

    @classmethod
    def build(cls, config: Config, clock: Clock, *, redaction: Redaction | None = None) -> Self:
        """Build the object graph; no provider is called, and no connection or thread begins before its first use.

        `redaction` learns each token that is read from the database.
        """
        redaction = redaction or Redaction(config.secrets)
        report_source = report_source_of(config)

        # What every service shares
        store = Store.open(config.database_url, config.instance_path, mode=config.providers, clock=clock)
        measurements = Measurements()
        notifications = Notifications(
            store.notifications, wanted=notified_events(config), mode=config.providers, clock=store.clock
        )
        heartbeat = Heartbeat()
        health = HealthRecorder(store.account_health, clock)
        guards = _guards(config, clock, store, health)
        quota = Quota(guards, store.quota_usage)
        # Enough threads for every place at a provider, and for the parts of every answer that may wait.
        executor = Executor(config.provider_parallel + 2 * WaitingSlots.total(config.max_waiting_requests))
        cache = Cache(
            store.cache_entries,
            store.leases,
            clock,
            may_refresh=partial(may_refresh, guards),
            redact=redaction.content,
            on_first_use=heartbeat.start,
        )

        # Instagram
        index = MediaIndex(store.media)
        origin, kept_origin = (
            Origin("sandbox" if config.sandbox else source, config.graph_api_version)
            for source in ("instagram", "history")
        )
        kept_posts = KeptPosts(store.posts, origin=origin, clock=clock)
        tokens = account_tokens(
            config,
            clock,
            store=store,
            notifications=notifications,
            guard=guards["instagram"],
            redaction=redaction,
            on_call=measurements.call,
        )
        graph = graph_client(
            config,
            clock,
            guard=guards["instagram"],
            redaction=redaction,
            on_listed=both(index.saw, kept_posts.saw),
            on_call=measurements.call,
            # The token of the sandbox cannot be replaced, so that it has to come back by itself.
            gate=None if config.sandbox else tokens.current,
        )
        configured = ConfiguredAccount(
            config.access_long_lived_token, config.graph_login, config.instagram_account_id, config.page_id
        )
        access_keys = AccessKeys(store.api_keys, clock)
        request_rates = RequestRates(
            store.request_counts, clock, default=config.requests_per_minute, on_use=heartbeat.start
        )
        registry = AccountRegistry(store, tokens.encryption, cache, clock, tokens=tokens.current)
        accounts = AccountResolver(
            graph,
            cache,
            configured=configured,
            registry=registry,
            tokens=tokens.current,
            on_profile=FollowerRecorder(store.follower_counts, origin=origin, clock=clock).saw,
        )
        checks = AccountChecks(graph, tokens.client, current=tokens.current, app_id=config.app_id, clock=clock)
        end_time = EndTime(config.end_time_convention)
        kept_values = KeptValues(store.history, cache, origin)
        reader = InsightsReader(graph, executor, cache=cache, kept=kept_values, end_time=end_time, clock=clock)
        audience = AudienceReader(graph, executor, cache=cache, kept=kept_values, end_time=end_time, clock=clock)
        posts = PostReader(graph, accounts, cache, clock)
        refusals = MediaRefusals(cache)
        viewers = ViewersCheck(graph, cache, clock)
        kept_stories = KeptStories(
            StoryReader(graph, executor, refusals=refusals, viewers=viewers), cache, store.stories, clock=store.clock
        )
        story_polling = StoryPolling(
            accounts, kept_stories, store.stories, store.posts, may_work=guards["instagram"].may_work, clock=store.clock
        )
        media = MediaReader(
            graph,
            executor,
            cache=cache,
            index=index,
            refusals=refusals,
            kept_stories=kept_stories,
            viewers=viewers,
            clock=clock,
        )
        post_insights = PostInsightsReader(ExpansionReader(graph, refusals), cache, on_read=kept_posts.read)
        growth_trends = GrowthTrends(
            accounts=accounts,
            reader=GrowthReader(
                posts=posts,
                post_insights=post_insights,
                reader=LongWindowReader(reader, kept_values, cache, clock),
                counts=KeptCounts(store.follower_counts, cache),
                executor=executor,
            ),
            origin=origin,
            clock=clock,
        )
        media_insights = MediaInsightsService(accounts=accounts, reader=media, origin=origin, clock=clock)

        # Modash
        modash = (
            modash_client(config, clock, guard=guards["modash"], redaction=redaction, on_call=measurements.call)
            if config.modash_configured
            else None
        )
        policy = purchase_policy(config)
        reports_changed = partial(cache.announce_change, report_source)
        balance = CreditBalance(
            modash,
            store,
            policy=policy,
            source=report_source,
            clock=store.clock,
            on_change=reports_changed,
            cache=cache,
        )
        failures = CallFailures(cache, report_source)
        settlements = Settlements(
            store,
            redaction,
            announcements=ReportAnnouncements(notifications),
            clock=store.clock,
            on_change=reports_changed,
        )
        purchasing = ReportPurchasing(
            modash,
            store,
            settlements,
            policy=policy,
            source=report_source,
            announcements=ReportAnnouncements(notifications),
            failures=failures,
            balance=balance,
            redaction=redaction,
            clock=store.clock,
            cache=cache,
        )
        renewals = ReportRenewals(purchasing, failures, clock)
        performance_data = PerformanceData(
            purchasing,
            renewals,
            answers=ReportAnswers(report_source, store.reports, balance=balance, redaction=redaction, clock=clock),
            failures=failures,
            policy=policy,
            executor=executor,
            clock=store.clock,
            on_use=heartbeat.start,
        )

        # What a webhook brings, by its field. Changes of other fields are kept for a while, and not applied.
        webhook_handlers: dict[str, WebhookHandler] = {"story_insights": kept_stories.apply_webhook}

        monitoring = _monitoring(
            config, measurements, store=store, quota=quota, balance=balance, tokens=tokens.states, accounts=accounts
        )
        every_second = {
            "share counts": monitoring.share,
            "invalidate changed accounts": cache.invalidate_changed,
            "share quota usage": quota.share,
            "read the account table": registry.read,
            "keep the health of accounts": health.share,
            "read the API keys": access_keys.check,
            "read the table of tokens": tokens.current.read,
            "settle late bookings": purchasing.settle_late,
        }
        _register(heartbeat, every_second, cache, store, request_rates)
        heartbeat.register("try to open the tokens", registry.report_closed, interval=TRY_INTERVAL)

        return cls(
            account_insights=AccountInsights(
                accounts=accounts, reader=reader, cache=cache, end_time=end_time, origin=origin, clock=clock
            ),
            growth_trends=growth_trends,
            compare=Comparison(
                accounts=accounts, growth_trends=growth_trends, executor=executor, origin=origin, clock=clock
            ),
            account_history=AccountHistory(
                accounts=accounts,
                history=store.history,
                follower_counts=store.follower_counts,
                end_time=end_time,
                origin=kept_origin,
                clock=clock,
            ),
            account_list=AccountList(
                accounts, store.account_health, quota, tokens.states, origin=origin, clock=store.clock
            ),
            post_history=PostHistory(accounts=accounts, index=index, kept=kept_posts, origin=kept_origin, clock=clock),
            posting_times=PostingTimes(
                accounts=accounts, compared=ComparedPostsReader(kept_posts, clock), origin=kept_origin
            ),
            formats=Formats(
                accounts=accounts,
                compared=ComparedPostsReader(kept_posts, clock),
                stories=kept_stories,
                origin=kept_origin,
            ),
            top_posts=TopPosts(accounts=accounts, posts=posts, insights=post_insights, origin=origin, clock=clock),
            media_insights=media_insights,
            insights_test=InsightsTest(
                graph, viewers, account_of=media_insights.account_of, login=config.graph_login, origin=origin
            ),
            capabilities=Capabilities(accounts=accounts, cache=cache, refusals=refusals, origin=origin, clock=clock),
            audience=Audience(accounts=accounts, reader=audience, origin=origin, clock=clock),
            performance_data=performance_data,
            settlements=settlements,
            stories=AccountStories(accounts=accounts, kept=kept_stories, index=index, origin=origin, clock=clock),
            export=Export(store.transfer, accounts, mode=config.providers, clock=clock),
            retention=Retention(
                store.transfer,
                store.deletion,
                days={DAYS: config.history_keep_days, MEDIA: config.media_keep_days},
                clock=store.clock,
            ),
            kept_stories=kept_stories,
            story_polling=story_polling,
            kept_posts=kept_posts,
            post_polling=PostPolling(
                accounts,
                posts,
                post_insights,
                story_polling,
                kept=kept_posts,
                table=store.posts,
                refusals=refusals,
                may_work=guards["instagram"].may_work,
                clock=store.clock,
            ),
            snapshots=AccountSnapshotter(
                accounts,
                reader,
                audience,
                HistoryTables(store.history, store.account_snapshots),
                may_work=guards["instagram"].may_work,
                origin=origin,
                backfill_days=config.backfill_days,
                clock=store.clock,
            ),
            follow_up=FollowUp(purchasing, policy, named=lambda key: access_keys.named(key, clock.timestamp())),
            renewals=renewals,
            credit_balance=balance,
            credits=Credits(
                store.ledger, store.spending, balance, policy=policy, source=report_source, clock=store.clock
            ),
            status=Status(
                graph=graph,
                accounts=accounts,
                modash=modash,
                cache=cache,
                configured=configured,
                rekeying=Rekeying(store.accounts, store.account_tokens, tokens.encryption),
                checkup=Checkup(checks, store.account_health, store.clock),
                tokens=tokens.states,
            ),
            webhooks=Webhooks(
                store.webhooks,
                secrets=app_secrets(config),
                verify_token=config.webhook_verify_token,
                clock=store.clock,
            ),
            webhook_application=WebhookApplication(store.webhooks, webhook_handlers, clock=store.clock),
            notifications=notifications,
            notification_delivery=(
                NotificationDelivery(
                    store.notifications, receiver_client(config, clock, on_call=measurements.call), clock=store.clock
                )
                if config.notify_url
                else None
            ),
            account_troubles=AccountTroubles(store.account_troubles, notifications, clock=store.clock),
            limits=quota,
            readiness=Readiness(store, quota, clock=store.clock),
            measurements=measurements,
            monitoring=monitoring,
            access_keys=access_keys,
            request_rates=request_rates,
            accounts=accounts,
            health_recorder=health,
            checkup=Checkup(checks, store.account_health, store.clock),
            check_rotation=CheckRotation(
                accounts,
                Checkup(checks, store.account_health, store.clock),
                store.account_health,
                may_work=guards["instagram"].may_work,
                clock=store.clock,
            ),
            token_encryption=tokens.encryption,
            token_client=tokens.client,
            token_states=tokens.states,
            token_upkeep=tokens.upkeep(accounts, store.clock, tries_refused=config.sandbox),
            cache=cache,
            store=store,
            heartbeat=heartbeat,
            waiting_slots=WaitingSlots(config.max_waiting_requests, monotonic=clock.monotonic),
            executor=executor,
            guards=guards,
        )

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until nothing is fetched or bought in the background; return whether that came in time."""
        return self.renewals.wait_until_quiet(seconds) and self.cache.wait_until_quiet(seconds)

    def close(self) -> None:
        """Stop every thread, book what could not be booked yet, and close every connection."""
        self.heartbeat.stop()
        self.cache.close()
        self.renewals.close()
        self.executor.close()
        for guard in self.guards.values():
            guard.close()
        self.settlements.close()
        self.monitoring.close()
        self.store.close()


def _guards(config: Config, clock: Clock, store: Store, health: HealthRecorder) -> Mapping[str, Guard]:
    """Build the guard of each provider, whose limits all processes share."""
    places = config.provider_parallel
    throttles = {name: SharedThrottles(name, store.throttles, clock) for name in ("instagram", "modash")}
    shared = shared_rate_limit("modash", store.provider_turns)
    rate_limiter = RateLimiter("modash", config.modash_rate, clock, shared=shared, patience=patience)
    return {
        "instagram": Guard(INSTAGRAM, clock, places=places, throttles=throttles["instagram"], on_end=health.ended),
        "modash": Guard(MODASH, clock, places=places, rate_limiter=rate_limiter, throttles=throttles["modash"]),
    }


def _monitoring(
    config: Config,
    measurements: Measurements,
    *,
    store: Store,
    quota: Quota,
    balance: CreditBalance,
    tokens: TokenStates,
    accounts: AccountResolver,
) -> Monitoring:
    """Build what GET /metrics answers with."""
    measurements.register_gauges(lambda: breaker_values(quota.breakers()))
    state = GatewayState(
        store,
        readiness=Readiness(store, quota, clock=store.clock),
        quota=quota,
        balance=balance,
        policy=purchase_policy(config),
        tokens=tokens,
        accounts=accounts,
        source=report_source_of(config),
        clock=store.clock,
    )
    build = {"mode": config.providers, "graph_api_version": config.graph_api_version}
    return Monitoring(Exchange(measurements, store.counters, clock=store.clock), state, build=build)


def _register(
    heartbeat: Heartbeat,
    every_second: Mapping[str, Callable[[], object]],
    cache: Cache,
    store: Store,
    rates: RequestRates,
) -> None:
    """Register the periodic tasks in the order in which they run: a task that hangs must not hold up leases."""
    heartbeat.register("extend cache leases", cache.extend_leases, interval=EXTENSION_INTERVAL)
    # With every beat, twice a second: what one process has counted then reaches the others within a second.
    heartbeat.register("exchange request counts", rates.share, interval=0.0)
    for name, task in every_second.items():
        heartbeat.register(name, task, interval=A_SECOND)
    heartbeat.register("try the databases", store.faults, interval=TRY_INTERVAL, delay=TRY_INTERVAL)
    heartbeat.register("sweep", store.sweep_without_worker, interval=SWEEP_INTERVAL, delay=SWEEP_INTERVAL)


def report_source_of(config: Config) -> str:
    """Return the source of reports and ledger rows: a simulated report must never be mistaken for a paid one."""
    return "sandbox" if config.sandbox else "modash"


def notified_events(config: Config) -> tuple[str, ...]:
    """Return the events that the outgoing webhook announces; none without a receiver."""
    return (config.notify_events or EVENTS) if config.notify_url else ()
