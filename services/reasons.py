"""Why a number is unknown, in words."""

from __future__ import annotations

from collections.abc import Mapping

from services.answers import Unavailable

REASONS: Mapping[str, str] = {
    "beyond_retention": "Instagram does not keep this metric for that long.",
    "breakdown_not_supported": "Instagram does not give this metric by that breakdown.",
    "bucket_unknown": "The listed buckets do not add up to the total, so the others are not known to be 0.",
    "not_answered": "Instagram gave no value; fewer than 100 followers, a quiet account or a recent day may be why.",
    "not_by_login": "The Instagram login does not give this metric; Facebook's does (GRAPH_LOGIN=facebook).",
    "not_by_day": "This metric describes the present and is not kept by day.",
    "no_total": "Instagram gives this metric by its breakdown only.",
    "provider_response_invalid": "Instagram's answer could not be read.",
    "provider_timeout": "Instagram did not answer in time.",
    "provider_unavailable": "Instagram had a passing fault.",
    "refused": "Instagram refuses this metric.",
    "unreadable": "Instagram's answer is not a number.",
    "window_too_long": "Instagram does not count people over that many days, and they are never added up.",
    # Growth
    "current_unknown": "The current value is unknown.",
    "previous_unknown": "The previous value is unknown.",
    "truncated": "Instagram lists more posts than could be read, so those of the window are not all known.",
    "zero_base": "The previous value is 0, so the rate is set: 100 if anything came, 0 if not.",
    "few_followers": "Instagram tells follows and unfollows from 100 followers on.",
    "followers_unknown": "Instagram gave no number of followers.",
    "inconsistent": "The reported gains and losses do not fit the number of followers.",
    "likes_hidden": "All posts of the window hide their likes.",
    "no_followers": "The account has no followers to divide by.",
    "no_posts": "There is no post in the window.",
}


def explain(metric: str, reason: str, detail: str | None = None) -> Unavailable:
    """Return the entry of `meta.unavailable` for a metric; `detail` is what the provider said."""
    text = REASONS.get(reason, "It could not be read from Instagram.")  # else the code of a failure
    return {"metric": metric, "reason": reason, "message": f"{text} ({detail})" if detail else text}
