"""What reads Instagram: accounts and their tokens, insights, media, stories and posts."""

from __future__ import annotations

from dataclasses import dataclass

from config import Config
from services.accounts.checks import AccountChecks
from services.accounts.registry import AccountRegistry
from services.accounts.resolver import AccountResolver, ConfiguredAccount
from services.answers import Origin
from services.cache.cache import Cache
from services.clients.graph.client import GraphClient
from services.clients.guard.guard import Guard
from services.clients.http import OnCall
from services.clock import Clock
from services.days import EndTime
from services.executors import Executor
from services.growth.kept_counts import KeptCounts
from services.growth.reader import GrowthReader
from services.history.follower_recorder import FollowerRecorder
from services.insights.audience_reader import AudienceReader
from services.insights.kept_values import KeptValues
from services.insights.missing_values import MissingValues
from services.insights.reader import InsightsReader
from services.insights.sums_of_kept_days import LongWindowReader
from services.media.expansion import ExpansionReader
from services.media.index import MediaIndex
from services.media.kept_stories import KeptStories
from services.media.known_refusals import MediaRefusals
from services.media.owners import MediaOwners
from services.media.reader import MediaReader
from services.media.story_polling import StoryPolling
from services.media.story_reader import StoryReader
from services.media.too_few_viewers import ViewersCheck
from services.notifications.notifications import Notifications
from services.posts.insights import PostInsightsReader
from services.posts.kept_posts import KeptPosts, both
from services.posts.reader import PostReader
from services.redaction import Redaction
from services.store.store import Store
from services.wiring.provider_clients import AccountTokenParts, account_tokens, graph_client


@dataclass(frozen=True, kw_only=True)
class InstagramParts:
    """What other parts use of all that reads Instagram."""

    index: MediaIndex
    owners: MediaOwners
    kept_posts: KeptPosts
    tokens: AccountTokenParts
    graph: GraphClient
    configured: ConfiguredAccount
    registry: AccountRegistry
    accounts: AccountResolver
    checks: AccountChecks
    kept_values: KeptValues
    reader: InsightsReader
    audience: AudienceReader
    posts: PostReader
    refusals: MediaRefusals
    viewers: ViewersCheck
    kept_stories: KeptStories
    story_polling: StoryPolling
    media: MediaReader
    post_insights: PostInsightsReader
    growth: GrowthReader


def instagram_parts(
    config: Config,
    clock: Clock,
    *,
    store: Store,
    cache: Cache,
    guard: Guard,
    executor: Executor,
    notifications: Notifications,
    redaction: Redaction,
    origin: Origin,
    end_time: EndTime,
    on_call: OnCall,
) -> InstagramParts:
    """Build them; no call is made."""
    index = MediaIndex(store.media)
    kept_posts = KeptPosts(store.posts, keep_days=config.media_keep_days, origin=origin, clock=clock)
    tokens = account_tokens(
        config,
        clock,
        store=store,
        notifications=notifications,
        guard=guard,
        redaction=redaction,
        on_call=on_call,
    )
    graph = graph_client(
        config,
        clock,
        guard=guard,
        redaction=redaction,
        on_listed=both(index.saw, kept_posts.saw),
        on_call=on_call,
        # The token of the sandbox cannot be replaced, so that it has to come back by itself.
        gate=None if config.sandbox else tokens.current,
    )
    configured = ConfiguredAccount(
        config.access_long_lived_token, config.graph_login, config.instagram_account_id, config.page_id
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
    kept_values = KeptValues(store.history, cache, origin)
    missing = MissingValues(graph, executor, cache=cache, kept=kept_values, end_time=end_time, clock=clock)
    reader = InsightsReader(missing, cache=cache, kept=kept_values, clock=clock)
    audience = AudienceReader(graph, executor, cache=cache, kept=kept_values, end_time=end_time, clock=clock)
    posts = PostReader(graph, executor, accounts, cache, clock)
    refusals = MediaRefusals(cache)
    viewers = ViewersCheck(graph, cache, clock)
    kept_stories = KeptStories(
        StoryReader(graph, executor, refusals=refusals, viewers=viewers), cache, store.stories, clock=store.clock
    )
    story_polling = StoryPolling(
        accounts, kept_stories, store.stories, store.posts, may_work=guard.may_work, clock=store.clock
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
    growth = GrowthReader(
        posts=posts,
        post_insights=post_insights,
        insights=LongWindowReader(reader, kept_values, cache, clock),
        counts=KeptCounts(store.follower_counts, cache),
        executor=executor,
        cache=cache,
    )
    return InstagramParts(
        index=index,
        owners=MediaOwners(index, accounts, store.stories, store.posts),
        kept_posts=kept_posts,
        tokens=tokens,
        graph=graph,
        configured=configured,
        registry=registry,
        accounts=accounts,
        checks=checks,
        kept_values=kept_values,
        reader=reader,
        audience=audience,
        posts=posts,
        refusals=refusals,
        viewers=viewers,
        kept_stories=kept_stories,
        story_polling=story_polling,
        media=media,
        post_insights=post_insights,
        growth=growth,
    )
