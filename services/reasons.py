"""Why a number is unknown, in words: the reasons of `meta.unavailable`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired

from typing_extensions import TypedDict

REASONS: Mapping[str, str] = {
    "beyond_retention": "Instagram does not keep this metric for that long.",
    "breakdown_not_supported": "Instagram does not give this metric by that breakdown.",
    "bucket_unknown": "The listed buckets do not add up to the total, or have unknown names; the others may not be 0.",
    "not_answered": "Instagram gave no value; fewer than 100 followers, a quiet account or a recent day may be why.",
    "not_by_login": "The Instagram login does not give this metric; Facebook's does (GRAPH_LOGIN=facebook).",
    "not_by_day": "This metric describes the present and is not kept by day.",
    "no_total": "Instagram gives this metric by its breakdown only.",
    "total_not_reported": "A webhook reported parts of this metric only, and the whole was not read.",
    "provider_response_invalid": "Instagram's answer could not be read.",
    "provider_timeout": "Instagram did not answer in time.",
    "provider_unavailable": "Instagram had a temporary fault.",
    "throttled": "Instagram limits the calls; ask again after `retry_after` seconds, then only the rest is fetched.",
    "refused": "Instagram refuses this metric.",
    "unreadable": "Instagram's answer is not a number.",
    "window_too_long": "Instagram does not count people over that many days, and they are never added up.",
    "permission_denied": "The token has no permission for it.",
    # Media
    "insufficient_viewers": "Fewer than 5 people have seen the story, or its value is below 5.",
    "no_successor": "Meta removed this metric, and nothing that it gives now measures the same.",
    "not_for_product_type": "Instagram does not give this metric for this type of media.",
    "not_documented": "Meta does not say whether this type of media has the metric; it is asked for when requested.",
    "not_for_this_media": "Instagram gives this metric only for newer media.",
    "not_shared_to_facebook": "The media is not shared to Facebook.",
    "story_expired": "The story is over, and this metric of it was not kept.",
    "media_too_old": "The media was posted before the account became a professional one; it never has insights.",
    "not_own_post": "The post is another account's; Instagram gives its insights to its owner.",
    "no_reach": "The post has reached no account yet, so there is nothing to divide by.",
    "no_views": "The post has no views yet, so there is nothing to divide by.",
    # History
    "not_kept": "No value of this is kept. `make backfill` reads what Instagram still has of past days.",
    "not_over": "The day is not over yet.",
    "days_missing": "No value is kept of some days; `missing_days` lists them.",
    "unexpected_end_time": "Instagram marked the day by another time than midnight in California, so it is not kept.",
    "unique_not_summed": "People are never added up over days, and no value of exactly this period is kept.",
    "not_summed": "Whether the days of this metric may be added up is not known.",
    # Kept posts
    "too_few_posts": "Fewer posts than `meta.floor` have it; a median of so few says little.",
    "not_read_at_age": "The post was not read at this age, and Instagram does not keep past numbers of posts.",
    # Growth
    "current_unknown": "The current value is unknown.",
    "previous_unknown": "The previous value is unknown.",
    "truncated": "Instagram lists more posts than could be read, so those of the window are not all known.",
    "zero_base": "The previous value is 0, so the rate is set: 100 for any increase, 0 for none.",
    "few_followers": "Instagram gives this only for accounts with 100 followers or more.",
    "followers_unknown": "Instagram gave no number of followers.",
    "inconsistent": "The reported gains and losses do not fit the number of followers.",
    "likes_hidden": "All posts of the window hide their likes.",
    "comments_hidden": "All posts of the window hide their comments.",
    "not_seen_yet": "The list of posts was read before the window ended, and could not be read again.",
    "no_followers": "The account has no followers to divide by.",
    "no_posts": "There is no post in the window.",
}

OF_MEDIA: Mapping[str, str] = {
    "not_answered": "Instagram gave no value of this media; it may be new, or a kind of media that has none.",
    "likes_hidden": "The owner hides the likes of the post, or of most posts that the number is about.",
    "comments_hidden": "The owner hides the comments of the post, or of most posts that the number is about.",
}
"""The same for numbers of media, where the words above are about accounts."""


class Unavailable(TypedDict):
    """A requested number that is unknown, with the reason as a code and in words.

    `retry_after` (seconds) says when it may be asked for again, where a failed call is the reason. `account` is there
    in replies about several accounts.
    """

    metric: str
    reason: str
    message: str
    retry_after: NotRequired[int]
    account: NotRequired[str]


def explain(
    metric: str, reason: str, detail: str | None = None, *, retry_after: int | None = None, of_media: bool = False
) -> Unavailable:
    """Return the entry of `meta.unavailable` for a metric of an account or `of_media`.

    `detail` is the provider's own text.
    """
    words = {**REASONS, **OF_MEDIA} if of_media else REASONS
    text = words.get(reason, "It could not be read from Instagram.")  # Other reasons are codes of failures.
    entry: Unavailable = {"metric": metric, "reason": reason, "message": f"{text} ({detail})" if detail else text}
    if retry_after is not None:
        entry["retry_after"] = retry_after
    return entry
