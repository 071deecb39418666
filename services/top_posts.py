"""Top posts: the best posts of the last days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from heapq import nlargest

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table, Warning_, deciding_entry
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import DAY, MINUTE
from services.cache.recent_reads import RecentReads
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import our_time
from services.errors import InsightsError
from services.posts.collaborations import Collaborations, read_collaborations
from services.posts.insights import PostInsights, PostInsightsReader
from services.posts.listed_posts import PostListPolicy
from services.posts.ordered_posts import OrderedPosts, Posts, by_score
from services.posts.post import COUNTS, Post
from services.posts.reader import PostReader
from services.posts.top_post_fields import INSIGHTS, Form, ShownPost, shown_post
from services.reasons import Unavailable, explain
from services.rendering.plurals import counted
from services.rendering.prepared_parts import PreparedList

BY_SCORE = "engagement_score"
INCLUDED = ("collaborations",)
RANKINGS = (BY_SCORE, *INSIGHTS)
MOST_RANKED = 50  # posts of a ranking: the most that callers may request, and so many are kept
MOST_RANKINGS = 2 * 1024 * 1024  # bytes of all that are kept
RANKING_OVERHEAD, RANKED_POST = 2_000, 150  # bytes of the objects of a ranking, and of one of its posts


@dataclass
class PostRanking:
    """The best posts of a range, and what a reply says of all posts of it; requests share it, so nothing may change it.

    `unknown` counts, by reason, the posts whose insight is unknown by which they are ranked. `entries` are those that
    the reply rests on beside the list.
    """

    ordered: OrderedPosts  # the list that the posts are of
    best: Sequence[Post]
    meta: Mapping[str, object]
    warnings: Sequence[Warning_]
    entries: Sequence[CacheEntry]
    insights: PostInsights | None
    unknown: Mapping[str, int]
    failure: InsightsError | None
    _shown: Sequence[ShownPost] = ()

    def shown(self, limit: int, form: Form) -> Sequence[ShownPost]:
        """Return the first posts as replies of a form show them, which is the same one at each call."""
        shown = self._shown
        if len(shown) < min(limit, len(self.best)):
            shown = self._shown = [shown_post(self.ordered, each, form, self.insights) for each in self.best[:limit]]
        return shown[:limit]

    def to_keep(self) -> PostRanking | None:
        """Return it for later replies, without what these do not need; None where they rank again."""
        insights = self.insights
        if insights is None:
            return self
        entry = deciding_entry(self.entries)
        if insights.failure is not None or (entry is not None and entry.stale):
            return None
        values = {post.id: insights.values[post.id] for post in self.best if post.id in insights.values}
        entries = [entry] if entry is not None else []
        return replace(self, entries=entries, insights=PostInsights(values, entries))

    def serves(self, ordered: OrderedPosts, now: float) -> bool:
        """Return whether a reply over a list can be made of it at a moment (Unix seconds)."""
        return self.ordered is ordered and all(now < entry.expires_at for entry in self.entries)

    @property
    def size(self) -> int:
        """The bytes that it takes, about."""
        return RANKING_OVERHEAD + RANKED_POST * len(self.best)


RankingKey = tuple[int, str | None, str | None]  # days, type of media, and the insight that ranks


class TopPosts:
    """The best posts of an account.

    What replies showed moments ago is kept: a ranking by its range, type of media and metric, until another list is
    there or one of the insights expires. So another request over the same posts ranks nothing.
    """

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        posts: PostReader,
        insights: PostInsightsReader,
        cache: Cache,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._posts = posts
        self._insights = insights
        self._origin = origin
        self._clock = clock
        self._rankings: RecentReads[RankingKey, PostRanking] = RecentReads(
            MINUTE, MOST_RANKINGS, weigh=lambda ranking: ranking.size
        )
        cache.on_change(self._rankings.forget)

    def ranked(
        self,
        days: int,
        limit: int,
        *,
        by: str = BY_SCORE,
        include: Collection[str] = (),
        media_product_type: str | None = None,
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the `limit` posts of the last `days` x 24 hours that are best by one of `RANKINGS`, ties by newest.

        `limit` is `MOST_RANKED` at most. Posts whose value is unknown come last. `include` may add `collaborations`.
        The hours are counted back from when the list was read, so that equal lists make equal answers. `refresh` reads
        everything again that can change.
        """
        request_context.accept_only_new(refresh=refresh)
        selected = self._accounts.find(account)
        listed = self._posts.read(selected, PostListPolicy(seconds=days * DAY))
        if listed.failure is not None and not listed.posts:
            raise listed.failure
        form = Form(None if by == BY_SCORE else by, bool(include))
        ranking = self._ranking(selected, listed, form, days=days, limit=limit, media_product_type=media_product_type)
        best = ranking.shown(limit, form)
        entries = [listed.entry, *ranking.entries]
        failures = [listed.failure, ranking.failure]
        return Answer(
            body={"top_posts": PreparedList([post.shown for post in best])},
            account=selected.id,
            origin=self._origin,
            freshness=Freshness.of(entries, now=self._clock.now(), gaps=any(failures)),
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                **ranking.meta,
            },
            unavailable=[*_unavailable(best), *_unavailable_insights(ranking, best, form)],
            warnings=[*listed.warnings, *ranking.warnings],
            table=Table(form.columns, (post.line(form) for post in best)),
        )

    def _ranking(
        self,
        account: Account,
        listed: Posts,
        form: Form,
        *,
        days: int,
        limit: int,
        media_product_type: str | None,
    ) -> PostRanking:
        """Return the best posts of a range: those of another reply, or as far as these do not serve, ranked now."""
        reading = self._rankings.of(account.id)
        key = days, media_product_type, form.ranked_by
        is_shared = not form.with_collaborations and not request_context.not_before()
        known = reading.get(key) if is_shared else None
        if known is not None and known.serves(listed.ordered, now=self._clock.timestamp()):
            return known
        shared = Collaborations()
        if form.with_collaborations:
            shared = read_collaborations(self._posts, account, listed, since=listed.read_at - timedelta(days=days))
        most = MOST_RANKED if is_shared else limit
        ranking = self._ranked(account, listed, shared, form, days=days, most=most, type_=media_product_type)
        kept = ranking.to_keep() if is_shared else None
        if kept is None:
            return ranking
        self._rankings.put(account.id, reading, {key: kept})
        return kept

    def _ranked(
        self,
        account: Account,
        listed: Posts,
        shared: Collaborations,
        form: Form,
        *,
        days: int,
        most: int,
        type_: str | None,
    ) -> PostRanking:
        """Rank the posts of a range."""
        ordered, by, end = listed.ordered, form.ranked_by, len(listed.posts)
        untyped = ordered.untyped(end) + sum(not post.has_known_type for post in shared.posts)
        insights, unknown, of_others = None, list[Post](), dict[str, int]()
        if by is None and not form.with_collaborations:
            number, best = ordered.matching(end, type_), ordered.best(end, most, type_)
        else:
            # A post of an unknown type is no match, whatever is asked for.
            posts = [post for post in (*listed.posts, *shared.posts) if type_ in {None, post.media_product_type}]
            own = [post for post in posts if post.owner is None]
            number = len(posts)
            values: dict[str, float | None] = {}
            if by is not None:
                insights = self._insights.read(account, own, listed=listed.posts)
                values = {post.id: insights.value(post, by).value for post in posts}
                unknown = [post for post in posts if values[post.id] is None]
            best = nlargest(most, posts, key=by_score if insights is None else partial(_by_value, values))
            of_others = {"collaborations": number - len(own)} if form.with_collaborations else {}
        start = listed.read_at - timedelta(days=days)
        range_ = {"since": our_time(start), "until": our_time(listed.read_at)}
        counts = {"posts": number, "posts_of_unknown_type": untyped, **of_others}
        ranked = {} if by is None else {"ranking": {"by": by, "posts_unknown": len(unknown)}}
        return PostRanking(
            ordered,
            best,
            meta={"time_range": {**range_, **counts}, **ranked},
            warnings=[*shared.warnings, *_warnings(untyped, type_), *_unranked(by, len(unknown))],
            entries=[*shared.entries, *(insights.entries if insights is not None else ())],
            insights=insights,
            unknown=_reasons(insights, by, unknown),
            failure=shared.failure or (None if insights is None else insights.failure),
        )


def _by_value(values: Mapping[str, float | None], post: Post) -> tuple[float, float]:
    value = values[post.id]
    return (-1 if value is None else value, post.timestamp.timestamp())


def _reasons(insights: PostInsights | None, metric: str | None, posts: Sequence[Post]) -> Mapping[str, int]:
    """Count the posts for each reason for which a metric of them is unknown."""
    if insights is None or metric is None:
        return {}
    found = [insights.value(post, metric).reason for post in posts]
    return Counter(reason for reason in found if reason is not None)


def _unavailable(posts: Sequence[ShownPost]) -> list[Unavailable]:
    """Explain each kind of unknown count once; a post itself says which of its counts are hidden."""
    found = [post.unknown_counts for post in posts if post.unknown_counts]
    kinds = dict.fromkeys(kind for name in COUNTS for counts in found for kind in counts if kind[0] == name)
    return [explain(metric, reason, of_media=True) for metric, reason in kinds]


def _unavailable_insights(ranking: PostRanking, posts: Sequence[ShownPost], form: Form) -> list[Unavailable]:
    """Explain each kind of unknown insight once, with the number of posts: of all posts for the one that ranks."""
    shown = [post.reasons for post in posts if post.reasons]
    if ranking.insights is None or not (shown or ranking.unknown):
        return []
    reasons: Counter[tuple[str, str]] = Counter()
    for metric in INSIGHTS:
        if metric == form.ranked_by:
            reasons.update({(metric, reason): posts for reason, posts in ranking.unknown.items()})
        else:
            reasons.update((metric, reason) for of_post in shown if (reason := of_post.get(metric)) is not None)
    return [ranking.insights.explain(metric, reason, posts) for (metric, reason), posts in reasons.items()]


def _unranked(by: str | None, posts: int) -> list[Warning_]:
    if not posts:
        return []
    message = f"{counted(posts, 'post has', 'posts have')} no known {by}; such posts come last."
    return [{"code": "insights_unknown", "message": message}]


def _warnings(untyped: int, media_product_type: str | None) -> list[Warning_]:
    if not untyped or media_product_type is None:
        return []
    number = counted(untyped, "post of the range has", "posts of the range have")
    message = f"{number} no known type; such posts are not among those of {media_product_type}."
    return [{"code": "types_unknown", "message": message}]
