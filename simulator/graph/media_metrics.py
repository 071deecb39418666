"""The metrics of media insights, as data.

https://developers.facebook.com/docs/instagram-platform/reference/instagram-media/insights
"""

from collections.abc import Mapping
from dataclasses import dataclass

FEED, REELS, STORY, AD = "FEED", "REELS", "STORY", "AD"

# In the order in which a refusal names them; the list is the same for every product type.
ACCEPTED_FOR_MEDIA = (
    *("impressions", "reach", "replies", "saved", "likes", "comments", "shares", "total_interactions", "follows"),
    *("profile_visits", "profile_activity", "navigation", "ig_reels_video_view_total_time"),
    *("ig_reels_avg_watch_time", "views", "reels_skip_rate", "reposts", "facebook_views", "crossposted_views"),
    *("total_views", "total_likes", "total_comments", "link_clicks"),
)
FACEBOOK_LOGIN_ONLY = frozenset({"facebook_views", "total_views", "total_likes", "total_comments", "link_clicks"})
OF_FACEBOOK = frozenset({"facebook_views", "crossposted_views"})  # refused for media that is not on Facebook
MEDIA_BREAKDOWNS = ("follow_type", "surface_type", "action_type", "story_navigation_action_type")
LIFETIME = "lifetime"


@dataclass(frozen=True)
class MediaMetric:
    """What a metric is called, which product types have it, and by what it is broken down."""

    name: str
    title: str
    description: str
    products: frozenset[str]
    breakdown: str | None = None


def _metric(name: str, products: tuple[str, ...], title: str, text: str, breakdown: str | None = None) -> MediaMetric:
    return MediaMetric(name, title, text, frozenset(products), breakdown)


ALL, POSTS, PROFILE = (FEED, REELS, STORY), (FEED, REELS), (FEED, STORY)

MEDIA_METRICS: Mapping[str, MediaMetric] = {
    metric.name: metric
    for metric in (
        _metric("reach", ALL, "Accounts reached", "The number of unique accounts that have seen this media."),
        _metric("views", ALL, "Views", "The number of times this media was played or displayed."),
        _metric("shares", ALL, "Shares", "The number of shares of this media."),
        _metric("reposts", ALL, "Reposts", "The number of times this media was reposted."),
        _metric("total_interactions", ALL, "Interactions", "Likes, saves, comments and shares, less those undone."),
        _metric("likes", POSTS, "Likes", "The number of likes on this media."),
        _metric("comments", POSTS, "Comments", "The number of comments on this media."),
        _metric("saved", POSTS, "Saved", "The number of saves of this media."),
        _metric("follows", PROFILE, "Follows", "The number of accounts that started following you."),
        _metric("profile_visits", PROFILE, "Profile visits", "The number of times your profile was visited."),
        _metric(
            "profile_activity",
            PROFILE,
            "Profile activity",
            "The number of actions people take when they visit your profile after engaging with this media.",
            "action_type",
        ),
        _metric(
            "ig_reels_avg_watch_time",
            (REELS,),
            "Average watch time",
            "The average time spent playing this reel, in ms.",
        ),
        _metric(
            "ig_reels_video_view_total_time", (REELS,), "Watch time", "The total time this reel was played, in ms."
        ),
        _metric("reels_skip_rate", (REELS,), "Skip rate", "The share of views that skipped within 3 seconds."),
        _metric("crossposted_views", (REELS,), "Crossposted views", "The plays on Instagram and Facebook."),
        _metric("facebook_views", ALL, "Facebook views", "The views of this media on Facebook."),
        _metric(
            "navigation",
            (STORY,),
            "Navigation",
            "The number of actions taken from this story.",
            "story_navigation_action_type",
        ),
        _metric("replies", (STORY,), "Replies", "The number of replies to this story."),
        _metric("link_clicks", (STORY,), "Link clicks", "The number of taps on the link of this story."),
        _metric("total_likes", POSTS, "Total likes", "The likes on this media, on its advertisements and on Facebook."),
        _metric("total_comments", POSTS, "Total comments", "The comments, with advertisements and Facebook."),
        _metric("total_views", ALL, "Total views", "The views, with advertisements and Facebook."),
        _metric("impressions", PROFILE, "Impressions", "The number of times this media was on screen."),
    )
}
