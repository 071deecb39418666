"""Posts as replies show them: each made once of a list and of its insights, as JSON and as a line of CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, NotRequired, cast

from typing_extensions import TypedDict

from services.days import provider_time
from services.media.expansion import POST_METRICS, PostValues
from services.posts.insights import PostInsights
from services.posts.ordered_posts import OrderedPosts
from services.posts.post import MAX_CAPTION, Owner, Post
from services.redaction import cut
from services.rendering.csv_cells import cells, csv_lines
from services.rendering.prepared_json import json_text
from services.rendering.prepared_parts import PreparedPart

INSIGHTS = (*POST_METRICS, "engagement_rate")
ADDED = frozenset({*INSIGHTS, "reasons", "collaboration", "owner"})  # fields of a post where they are asked for


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
NO_REASONS: Mapping[str, str] = {}


class Form(NamedTuple):
    """Which fields a reply shows of a post beside those of each reply."""

    ranked_by: str | None = None  # the insight by which posts are ranked; then all insights are shown
    with_collaborations: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table; `reason` says why the insight that ranks is unknown."""
        insights = () if self.ranked_by is None else (*INSIGHTS, "reason")
        return (*PLAIN, *insights, *(("collaboration", "owner") if self.with_collaborations else ()))


class ShownPost:
    """A post as replies show it; requests share it, so nothing may change it.

    `values` are the insights that it was made of. `reasons` says why each unknown insight is, `unknown_counts` why
    each count is that the owner does not hide.
    """

    __slots__ = ("_lines", "reasons", "shown", "unknown_counts", "values")

    def __init__(self, post: Post, form: Form, insights: PostInsights | None) -> None:
        shown = _plain(post)
        self.values = None if insights is None else insights.values.get(post.id)
        self.reasons = NO_REASONS
        if insights is not None:
            found = {metric: insights.value(post, metric) for metric in INSIGHTS}
            self.reasons = {name: each.reason for name, each in found.items() if each.value is None and each.reason}
            numbers = {metric: value.value for metric, value in found.items()}
            shown = cast(TopPost, {**shown, **numbers, "reasons": self.reasons})
        if form.with_collaborations:
            shown = {**shown, "collaboration": post.owner is not None, "owner": post.owner}
        self.shown = PreparedPart(json_text(shown))
        counts = post.counts
        likes_reason = None if counts.likes_hidden else counts.likes_reason
        comments_reason = None if counts.comments_hidden else counts.comments_reason
        reasons = (("like_count", likes_reason), ("comments_count", comments_reason))
        self.unknown_counts = tuple([(name, reason) for name, reason in reasons if reason is not None])
        self._lines: dict[str | None, PreparedPart] = {}  # by the reason in it

    def line(self, form: Form) -> PreparedPart:
        """Return the post as a line of CSV."""
        reason = None if form.ranked_by is None else self.reasons.get(form.ranked_by)
        line = self._lines.get(reason)
        if line is None:
            shown = json.loads(self.shown.text)
            owner = shown.get("owner") or {"username": None}
            row = {**shown, "reason": reason, "owner": owner["username"]}
            line = self._lines[reason] = PreparedPart(csv_lines([cells(map(row.get, form.columns))]).encode())
        return line


def shown_post(ordered: OrderedPosts, post: Post, form: Form, insights: PostInsights | None) -> ShownPost:
    """Return a post as a reply of a form shows it: made once for a list, and again where it has other insights.

    Posts that are ranked by another insight are shown in the same way.
    """
    key = post.id, form.ranked_by is not None, form.with_collaborations
    values: PostValues | None = None if insights is None else insights.values.get(post.id)
    known: ShownPost | None = ordered.shown.get(key)
    if known is not None and known.values is values:
        return known
    made = ShownPost(post, form, insights)
    if post.owner is None and (values is not None or insights is None):  # A collaboration is in another list.
        ordered.shown[key] = made
    return made


def _plain(post: Post) -> TopPost:
    """Return a post as callers see it; a caption beyond `MAX_CAPTION` is cut at a grapheme."""
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
