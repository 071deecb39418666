"""Top posts: the best posts of the last days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from heapq import nlargest
from typing import NotRequired, cast

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table, Unavailable, Warning_, explain
from services.cache.entries import CacheEntry
from services.cache.policies import DAY
from services.clients.graph.models import Account
from services.clock import Clock
from services.csv_cells import cells
from services.days import our_time, provider_time
from services.errors import InsightsError, ProviderError
from services.media.expansion import POST_METRICS, PostValues
from services.plurals import counted
from services.posts.insights import PostInsights, PostInsightsReader
from services.posts.listed_posts import PostListPolicy
from services.posts.ordered_posts import OrderedPosts, Posts, by_score
from services.posts.post import Owner, Post
from services.posts.reader import PostReader
from services.redaction import cut

MAX_CAPTION = 500  # characters
BY_SCORE = "engagement_score"
INSIGHTS = (*POST_METRICS, "engagement_rate")
INCLUDED = ("collaborations",)
ADDED = frozenset({*INSIGHTS, "reasons", "collaboration", "owner"})  # fields of a post where they are asked for
RANKINGS = (BY_SCORE, *INSIGHTS)


class TopPost(TypedDict):
    """A post with its engagement score: likes plus comments, or one of them alone where the other is unknown.

    Its insights are there where it is ranked by one of them; `reasons` says why each unknown one is. With
    collaborations, `collaboration` marks the posts of others, and `owner` names their account.
    """

    id: str
    permalink: str | None
    caption: str | None
    caption_truncated: bool
    like_count: int | None
    likes_hidden: bool
    comments_count: int | None
    comments_hidden: bool
    engagement_score: int | None
    timestamp: str
    media_type: str | None
    media_product_type: str | None
    reach: NotRequired[float | None]
    views: NotRequired[float | None]
    saved: NotRequired[float | None]
    shares: NotRequired[float | None]
    total_interactions: NotRequired[float | None]
    engagement_rate: NotRequired[float | None]
    reasons: NotRequired[Mapping[str, str]]
    collaboration: NotRequired[bool]
    owner: NotRequired[Owner | None]


PLAIN = tuple(name for name in TopPost.__annotations__ if name not in ADDED)


@dataclass(frozen=True)
class Shared:
    """The posts of others on which the account collaborates, and what stands in the way of a complete list."""

    posts: Sequence[Post] = ()
    entries: Sequence[CacheEntry] = ()
    warnings: Sequence[Warning_] = ()
    failure: InsightsError | None = None


class TopPosts:
    """The best posts of an account."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        posts: PostReader,
        insights: PostInsightsReader,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._posts = posts
        self._insights = insights
        self._origin = origin
        self._clock = clock

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

        Posts whose value is unknown come last. `include` may add the `collaborations`. The hours are counted back from
        when the list was read, so that equal lists make equal answers. `refresh` reads everything again that can
        change.
        """
        request_context.accept_only_new(refresh=refresh)
        selected = self._accounts.find(account)
        listed = self._posts.read(selected, PostListPolicy(seconds=days * DAY))
        if listed.failure is not None and not listed.posts:
            raise listed.failure
        start = listed.read_at - timedelta(days=days)
        shared = self._collaborations(selected, listed, start) if "collaborations" in include else Shared()
        untyped = listed.ordered.untyped(len(listed.posts)) + sum(not post.has_known_type for post in shared.posts)
        insights, unknown, of_others = None, list[Post](), dict[str, int]()
        if by == BY_SCORE and not include:
            number = listed.ordered.matching(len(listed.posts), media_product_type)
            best = listed.ordered.best(len(listed.posts), limit, media_product_type)
        else:
            compared = [*listed.posts, *shared.posts]
            # A post of an unknown type is no match, whatever is asked for.
            posts = [post for post in compared if media_product_type in {None, post.media_product_type}]
            own = [post for post in posts if post.owner is None]
            number = len(posts)
            insights = None if by == BY_SCORE else self._insights.read(selected, own, listed=listed.posts)
            values = {} if insights is None else {post.id: insights.value(post, by).value for post in posts}
            best = nlargest(limit, posts, key=by_score if insights is None else partial(_by_value, values))
            unknown = [] if insights is None else [post for post in posts if values[post.id] is None]
            of_others = {"collaborations": number - len(own)} if include else {}
        plain = [_shown(listed.ordered, post) for post in best]
        top_posts = [shown for shown, _ in plain]
        if insights is not None:
            top_posts = [
                _with_insights(listed.ordered, shown, post, insights)
                for shown, post in zip(top_posts, best, strict=True)
            ]
        if include:
            top_posts = [_marked(shown, post) for shown, post in zip(top_posts, best, strict=True)]
        entries = [listed.entry, *shared.entries, *(insights.entries if insights else ())]
        failures = [listed.failure, shared.failure, insights and insights.failure]
        return Answer(
            body={"top_posts": top_posts},
            account=selected.id,
            origin=self._origin,
            freshness=Freshness.of(entries, now=self._clock.now(), gaps=any(failures)),
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "time_range": {
                    "since": our_time(start),
                    "until": our_time(listed.read_at),
                    "posts": number,
                    "posts_of_unknown_type": untyped,
                    **of_others,
                },
                **({} if insights is None else {"ranking": {"by": by, "posts_unknown": len(unknown)}}),
            },
            unavailable=[*_unavailable(best), *_unavailable_insights(insights, top_posts, by, unknown)],
            warnings=[
                *listed.warnings,
                *shared.warnings,
                *_warnings(untyped, media_product_type),
                *_unranked(by, len(unknown)),
            ],
            table=_table(top_posts, [row for _, row in plain], by, include),
        )

    def _collaborations(self, account: Account, listed: Posts, start: datetime) -> Shared:
        """Read the posts of others since a moment; what stands in the way of them is a warning, not a failure."""
        if account.login != "facebook":
            message = "Instagram gives collaborations by the Facebook login only; this account has the other one."
            return Shared(warnings=[{"code": "collaborations_unavailable", "message": message}])
        try:
            shared = self._posts.read(account, PostListPolicy(since=start.timestamp()), collaborations=True)
        except ProviderError as error:
            message = f"The collaborations could not be read: {error.message}"
            return Shared(warnings=[{"code": "collaborations_unavailable", "message": message}], failure=error)
        own = {post.id for post in listed.posts}
        # A post of the account itself is in its own list, with its insights.
        others = [
            replace(post, owner=post.owner or {"id": None, "username": None})
            for post in shared.posts
            if post.id not in own and (post.owner is None or post.owner["id"] != account.id)
        ]
        return Shared(others, [shared.entry], shared.warnings, shared.failure)


def _by_value(values: Mapping[str, float | None], post: Post) -> tuple[float, float]:
    value = values[post.id]
    return (-1 if value is None else value, post.timestamp.timestamp())


def _marked(shown: TopPost, post: Post) -> TopPost:
    return {**shown, "collaboration": post.owner is not None, "owner": post.owner}


def _table(
    top_posts: Sequence[TopPost], plain: Sequence[tuple[object, ...]], by: str, include: Collection[str]
) -> Table:
    """Return the posts as rows; with insights, `reason` says why the one that ranks is unknown.

    With collaborations, `owner` is the username of the post's account.
    """
    if by == BY_SCORE and not include:
        return Table(PLAIN, plain)
    columns = [*PLAIN]
    columns += [*INSIGHTS, "reason"] if by != BY_SCORE else []
    columns += ["collaboration", "owner"] if include else []

    def rows() -> Iterator[tuple[object, ...]]:
        for post, row in zip(top_posts, plain, strict=True):
            more = [*map(post.get, INSIGHTS), post.get("reasons", {}).get(by)] if by != BY_SCORE else []
            if include:
                owner = post.get("owner") or {"username": None}
                more += [post.get("collaboration"), owner["username"]]
            yield (*row, *cells(more))

    return Table(columns, rows())


def _unavailable(posts: Sequence[Post]) -> list[Unavailable]:
    """Explain each kind of unknown count once; a post itself says which of its counts are hidden."""
    counts = [post.counts for post in posts]
    reasons = [("like_count", each.likes_reason) for each in counts if not each.likes_hidden]
    reasons += [("comments_count", each.comments_reason) for each in counts if not each.comments_hidden]
    kinds = dict.fromkeys(reasons)
    return [explain(metric, reason, of_media=True) for metric, reason in kinds if reason is not None]


def _unavailable_insights(
    insights: PostInsights | None, top_posts: Sequence[TopPost], by: str, unknown: Sequence[Post]
) -> list[Unavailable]:
    """Explain each kind of unknown insight once, with the number of posts: of all posts for the one that ranks."""
    if insights is None:
        return []
    shown = [post["reasons"] for post in top_posts if post["reasons"]]
    reasons: Counter[tuple[str, str]] = Counter()
    for metric in INSIGHTS:
        if metric == by:
            found = [insights.value(post, metric).reason for post in unknown]
        else:
            found = [of_post.get(metric) for of_post in shown]
        reasons.update((metric, reason) for reason in found if reason is not None)
    return [insights.explain(metric, reason, posts) for (metric, reason), posts in reasons.items()]


def _unranked(by: str, posts: int) -> list[Warning_]:
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


def _shown(ordered: OrderedPosts, post: Post) -> tuple[TopPost, tuple[object, ...]]:
    """Return a post as callers see it, and the cells of its row: made once for a list, so nothing may change them."""
    known: tuple[TopPost, tuple[object, ...]] | None = ordered.shown.get(post.id)
    if known is None:
        shown = as_top_post(post)
        known = shown, tuple(cells(map(shown.get, PLAIN)))
        if post.owner is None:  # A collaboration is in another list.
            ordered.shown[post.id] = known
    return known


def _with_insights(ordered: OrderedPosts, shown: TopPost, post: Post, insights: PostInsights) -> TopPost:
    """Return a post as callers see it with its insights: made once of the same values, so nothing may change it."""
    values = insights.values.get(post.id)
    known: tuple[PostValues, TopPost] | None = ordered.shown_with_insights.get(post.id)
    if known is not None and known[0] is values:
        return known[1]
    found = {metric: insights.value(post, metric) for metric in INSIGHTS}
    numbers = {metric: value.value for metric, value in found.items()}
    reasons = {metric: value.reason for metric, value in found.items() if value.value is None and value.reason}
    made = cast(TopPost, {**shown, **numbers, "reasons": reasons})
    if values is not None and post.owner is None:  # A collaboration is in another list.
        ordered.shown_with_insights[post.id] = values, made
    return made


def as_top_post(post: Post) -> TopPost:
    """Return a post as callers see it; a caption beyond 500 characters is cut at a grapheme."""
    caption = post.caption
    return {
        "id": post.id,
        "permalink": post.permalink,
        "caption": caption if caption is None else cut(caption, MAX_CAPTION),
        "caption_truncated": caption is not None and len(caption) > MAX_CAPTION,
        "like_count": post.counts.likes,
        "likes_hidden": post.counts.likes_hidden,
        "comments_count": post.counts.comments,
        "comments_hidden": post.counts.comments_hidden,
        "engagement_score": post.counts.score,
        "timestamp": provider_time(int(post.timestamp.timestamp())),
        "media_type": post.media_type,
        "media_product_type": post.media_product_type,
    }
