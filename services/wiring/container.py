"""The object graph: the services behind the routes, and the one place where they are put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

from config import Config
from services.access.keys import AccessKeys
from services.access.rate_limits import RequestRates
from services.account_history import AccountHistory
from services.account_insights import AccountInsights
from services.account_list import AccountList
from services.accounts.check_rotation import CheckRotation
from services.accounts.checkup import Checkup
from services.accounts.health_recorder import HealthRecorder
from services.accounts.rekeying import Rekeying
from services.accounts.resolver import AccountResolver
from services.accounts.token_encryption import TokenEncryption
from services.accounts.token_refresh import TokenRefresh
from services.accounts.token_states import TokenStates
from services.answers import Origin
from services.audience import Audience
from services.background.heartbeat import Heartbeat
from services.cache.cache import Cache
from services.capabilities import Capabilities
from services.clients.graph.tokens import TokenClient
from services.clients.guard.guard import Guard
from services.clock import Clock
from services.compare import Comparison
from services.credits import Credits
from services.days import EndTime
from services.executors import Executor
from services.export import Export
from services.formats import Formats
from services.growth_trends import GrowthTrends
from services.history.retention import Retention
from services.history.snapshots import AccountSnapshotter, HistoryTables
from services.insights_test import InsightsTest
from services.media.kept_stories import KeptStories
from services.media.story_polling import StoryPolling
from services.media_insights import MediaInsightsService
from services.monitoring.exposition import Monitoring
from services.monitoring.measurements import Measurements
from services.monitoring.readiness import Readiness
from services.notifications.delivery import NotificationDelivery
from services.notifications.notifications import Notifications
from services.notifications.troubles import AccountTroubles
from services.performance_data import PerformanceData
from services.post_history import PostHistory
from services.posting_times import PostingTimes
from services.posts.compared import ComparedPostsReader
from services.posts.kept_posts import KeptPosts
from services.posts.post_polling import PostPolling
from services.quota import Quota
from services.redaction import Redaction
from services.reports.balance import CreditBalance
from services.reports.follow_up import FollowUp
from services.reports.renewals import ReportRenewals
from services.reports.settlements import Settlements
from services.status import Status
from services.store.exported_tables import DAYS, MEDIA
from services.store.store import Store
from services.stories import AccountStories
from services.top_posts import TopPosts
from services.waiting_slots import WaitingSlots
from services.webhooks.application import WebhookApplication
from services.webhooks.handlers import handlers_by_field
from services.webhooks.receiving import Webhooks
from services.wiring import provider_clients
from services.wiring.instagram import instagram_parts
from services.wiring.monitoring import monitoring_of
from services.wiring.periodic_tasks import TRY_INTERVAL, register
from services.wiring.reports import report_parts, report_source_of


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
    token_refresh: TokenRefresh
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
            store.notifications,
            wanted=provider_clients.notified_events(config),
            mode=config.providers,
            clock=store.clock,
        )
        heartbeat = Heartbeat()
        health = HealthRecorder(store.account_health, clock)
        guards = provider_clients.guards_of(config, clock, store, health)
        quota = Quota(guards, store.quota_usage)
        # Enough threads for every place at a provider, and for the parts of every answer that may wait.
        executor = Executor(config.provider_parallel + 2 * WaitingSlots.total(config.max_waiting_requests))
        cache = Cache(
            store.cache_entries,
            store.leases,
            clock,
            may_refresh=partial(provider_clients.may_refresh, guards),
            redact=redaction.content,
            on_use=heartbeat.start,
        )

        access_keys = AccessKeys(store.api_keys, clock)
        request_rates = RequestRates(
            store.request_counts, clock, default=config.requests_per_minute, on_use=heartbeat.start
        )
        end_time = EndTime(config.end_time_convention)
        origin, kept_origin = (
            Origin("sandbox" if config.sandbox else source, config.graph_api_version)
            for source in ("instagram", "history")
        )

        instagram = instagram_parts(
            config,
            clock,
            store=store,
            cache=cache,
            guard=guards["instagram"],
            executor=executor,
            notifications=notifications,
            redaction=redaction,
            origin=origin,
            end_time=end_time,
            on_call=measurements.call,
        )
        accounts = instagram.accounts
        checkup = Checkup(instagram.checks, store.account_health, store.clock)
        compared = ComparedPostsReader(instagram.kept_posts, clock)
        media_insights = MediaInsightsService(
            accounts=accounts,
            reader=instagram.media,
            owners=instagram.owners,
            cache=cache,
            origin=origin,
            clock=clock,
        )

        reports = report_parts(
            config,
            clock,
            store=store,
            cache=cache,
            guard=guards["modash"],
            executor=executor,
            notifications=notifications,
            redaction=redaction,
            on_call=measurements.call,
            on_use=heartbeat.start,
        )

        monitoring = monitoring_of(
            config,
            measurements,
            store=store,
            quota=quota,
            balance=reports.balance,
            tokens=instagram.tokens.states,
            accounts=accounts,
        )
        every_second = {
            "share counts": monitoring.share,
            "invalidate changed accounts": cache.invalidate_changed,
            "share quota usage": quota.share,
            "read the account table": instagram.registry.read,
            "keep the health of accounts": health.share,
            "read the API keys": access_keys.check,
            "note the use of API keys": access_keys.note_use,
            "read the table of tokens": instagram.tokens.current.read,
            "settle late bookings": reports.purchasing.settle_late,
        }
        register(heartbeat, every_second, cache, store, request_rates)
        heartbeat.register("try to open the tokens", instagram.registry.report_closed, interval=TRY_INTERVAL)

        return cls(
            account_insights=AccountInsights(
                accounts=accounts, reader=instagram.reader, cache=cache, end_time=end_time, origin=origin, clock=clock
            ),
            growth_trends=GrowthTrends(accounts=accounts, reader=instagram.growth, origin=origin, clock=clock),
            compare=Comparison(
                accounts=accounts, growth=instagram.growth, executor=executor, origin=origin, clock=clock
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
                accounts, store.account_health, quota, instagram.tokens.states, origin=origin, clock=store.clock
            ),
            post_history=PostHistory(
                accounts=accounts, owners=instagram.owners, kept=instagram.kept_posts, origin=kept_origin, clock=clock
            ),
            posting_times=PostingTimes(accounts=accounts, compared=compared, origin=kept_origin),
            formats=Formats(accounts=accounts, compared=compared, stories=instagram.kept_stories, origin=kept_origin),
            top_posts=TopPosts(
                accounts=accounts,
                posts=instagram.posts,
                insights=instagram.post_insights,
                cache=cache,
                origin=origin,
                clock=clock,
            ),
            media_insights=media_insights,
            insights_test=InsightsTest(
                instagram.graph,
                instagram.viewers,
                account_of=media_insights.account_of,
                login=config.graph_login,
                origin=origin,
            ),
            capabilities=Capabilities(
                accounts=accounts, cache=cache, refusals=instagram.refusals, origin=origin, clock=clock
            ),
            audience=Audience(accounts=accounts, reader=instagram.audience, origin=origin, clock=clock),
            performance_data=reports.performance_data,
            settlements=reports.settlements,
            stories=AccountStories(
                accounts=accounts,
                owners=instagram.owners,
                kept=instagram.kept_stories,
                index=instagram.index,
                origin=origin,
                clock=clock,
            ),
            export=Export(store.transfer, accounts, mode=config.providers, clock=clock),
            retention=Retention(
                store.transfer,
                store.deletion,
                days={DAYS: config.history_keep_days, MEDIA: config.media_keep_days},
                clock=store.clock,
            ),
            kept_stories=instagram.kept_stories,
            story_polling=instagram.story_polling,
            kept_posts=instagram.kept_posts,
            post_polling=PostPolling(
                accounts,
                instagram.posts,
                instagram.post_insights,
                instagram.story_polling,
                kept=instagram.kept_posts,
                table=store.posts,
                refusals=instagram.refusals,
                may_work=guards["instagram"].may_work,
                clock=store.clock,
            ),
            snapshots=AccountSnapshotter(
                accounts,
                instagram.reader,
                instagram.audience,
                HistoryTables(store.history, store.account_snapshots),
                may_work=guards["instagram"].may_work,
                origin=origin,
                backfill_days=config.backfill_days,
                clock=store.clock,
            ),
            follow_up=FollowUp(
                reports.purchasing, reports.policy, named=lambda key: access_keys.named(key, clock.timestamp())
            ),
            renewals=reports.renewals,
            credit_balance=reports.balance,
            credits=Credits(
                store.ledger,
                store.spending,
                reports.balance,
                policy=reports.policy,
                source=report_source,
                clock=store.clock,
            ),
            status=Status(
                graph=instagram.graph,
                accounts=accounts,
                modash=reports.modash,
                cache=cache,
                configured=instagram.configured,
                rekeying=Rekeying(store.accounts, store.account_tokens, instagram.tokens.encryption),
                checkup=checkup,
                tokens=instagram.tokens.states,
            ),
            webhooks=Webhooks(
                store.webhooks,
                secrets=provider_clients.app_secrets(config),
                verify_token=config.webhook_verify_token,
                clock=store.clock,
            ),
            webhook_application=WebhookApplication(
                store.webhooks,
                handlers_by_field(kept_stories=instagram.kept_stories, is_gone=accounts.is_gone),
                clock=store.clock,
            ),
            notifications=notifications,
            notification_delivery=(
                NotificationDelivery(
                    store.notifications,
                    provider_clients.receiver_client(config, clock, on_call=measurements.call),
                    clock=store.clock,
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
            checkup=checkup,
            check_rotation=CheckRotation(
                accounts, checkup, store.account_health, may_work=guards["instagram"].may_work, clock=store.clock
            ),
            token_encryption=instagram.tokens.encryption,
            token_client=instagram.tokens.client,
            token_states=instagram.tokens.states,
            token_refresh=instagram.tokens.refresh(accounts, store.clock, tries_refused=config.sandbox),
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
