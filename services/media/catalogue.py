"""Every metric of single media, as data: what it counts, for which media it is answered, and what replaces it.

Source: https://developers.facebook.com/docs/instagram-platform/reference/instagram-media/insights and, where live
answers differ from it, those. The table says what is worth asking for together; what it does not promise is asked for
once, apart from the rest, because Meta adds metrics and product types without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

FEED, REELS, STORY, AD = "FEED", "REELS", "STORY", "AD"
EVERY_TYPE = (FEED, REELS, STORY)
UNDOCUMENTED_TYPES = (AD,)  # Meta lists the type, and no page says which metrics it has.
POST_TYPES = (FEED, REELS)
BOTH_LOGINS = ("facebook", "instagram")
FACEBOOK_LOGIN = ("facebook",)

FAMILIES: Mapping[str, str] = {
    "organic": "organic only: what advertisements brought is not counted",
    "instagram_and_facebook": "what happened on Instagram and on Facebook, advertisements not counted",
    "facebook": "what happened on Facebook only",
    "with_ads_and_facebook": "with what advertisements brought and, as far as the token may see it, Facebook",
}
"""Which interactions a number counts. Numbers of different families must not be divided by each other."""

MEDIA_BREAKDOWNS: Mapping[str, tuple[str, ...]] = {
    "action_type": ("BIO_LINK_CLICKED", "CALL", "DIRECTION", "EMAIL", "OTHER", "TEXT"),
    "story_navigation_action_type": ("SWIPE_FORWARD", "TAP_BACK", "TAP_EXIT", "TAP_FORWARD"),
}

IMPRESSIONS_END = date(2024, 7, 2)  # Media created from this day on have no impressions.
PROFILE_ACTIVITY_START = date(2017, 10, 26)  # Media created before this day have no profile activity.


@dataclass(frozen=True)
class MediaSuccessor:
    """What answers a metric that Meta removed: another metric, the sum of several, or one bucket of a breakdown.

    Without metrics nothing does: what Meta names in its place measures something else.
    """

    metrics: tuple[str, ...]
    since: str  # the date from which no version answers the old one
    bucket: str | None = None  # of the only breakdown of the metric

    @property
    def name(self) -> str | None:
        """The successor as callers see it, or None where there is none."""
        return "+".join(self.metrics) or None


@dataclass(frozen=True)
class MediaMetric:
    """One metric of a media; its period is always `lifetime`.

    `product_types` and `logins` are those for which Instagram answers it. A metric `asked_alone` may be refused for
    reasons of one media, for instance because it is not shared to Facebook, and would take the others down with it.
    """

    name: str
    title: str
    description: str
    unit: str
    product_types: tuple[str, ...] = EVERY_TYPE
    family: str = "organic"
    estimated: bool = False  # whether Meta calls it estimated
    breakdowns: tuple[str, ...] = ()
    logins: tuple[str, ...] = BOTH_LOGINS
    asked_alone: bool = False
    successor: MediaSuccessor | None = None

    def is_answered(self, product_type: str | None, login: str) -> bool:
        """Return whether Instagram is known to answer the metric for a type of media by a login."""
        return self.why_not(product_type, login) is None

    def why_not(self, product_type: str | None, login: str) -> str | None:
        """Return the reason why Instagram is not known to answer the metric, or None where it is.

        Of a type that Meta's table does not have (AD, and any new one) only the login is known to be a reason.
        """
        if product_type not in EVERY_TYPE and login not in self.logins:
            return "not_by_login"
        if product_type not in self.product_types:
            return "not_for_product_type"
        return None if login in self.logins else "not_by_login"


_INSTAGRAM_REMOVAL = "2025-04-21"  # plays, replays and impressions
_VIDEO_REMOVAL = "2025-01-08"
_OLDEST_REMOVAL = "2023-12-11"  # engagement, albums, taps and exits


def _removed(name: str, title: str, description: str, unit: str, successor: MediaSuccessor) -> MediaMetric:
    types = (STORY,) if successor.bucket else EVERY_TYPE
    return MediaMetric(name, title, description, unit, types, successor=successor)


def _navigation(bucket: str) -> MediaSuccessor:
    return MediaSuccessor(("navigation",), _OLDEST_REMOVAL, bucket)


_METRICS = (
    MediaMetric("views", "Views", "Times the media was played or shown; Meta still develops this metric", "views"),
    MediaMetric("reach", "Reach", "Accounts that saw the media at least once; an estimate", "accounts", estimated=True),
    MediaMetric("shares", "Shares", "Times the media was shared", "shares"),
    MediaMetric("reposts", "Reposts", "Times the media was reposted", "reposts"),
    MediaMetric(
        "total_interactions",
        "Interactions",
        "Likes, comments, saves and shares together, less those taken back; of a story too, whose likes, comments and "
        "saves have no metric of their own; Meta still develops this metric",
        "interactions",
    ),
    MediaMetric("likes", "Likes", "Likes on the media", "likes", POST_TYPES),
    MediaMetric("comments", "Comments", "Comments on the media", "comments", POST_TYPES),
    MediaMetric("saved", "Saves", "Times the media was saved", "saves", POST_TYPES),
    MediaMetric("follows", "Follows", "Accounts that began to follow because of the media", "accounts", (FEED, STORY)),
    MediaMetric(
        "profile_visits", "Profile visits", "Times the profile was visited from the media", "visits", (FEED, STORY)
    ),
    MediaMetric(
        "profile_activity",
        "Profile activity",
        "Actions on the profile after the media was seen; only for media after 2017-10-26",
        "actions",
        (FEED, STORY),
        breakdowns=("action_type",),
    ),
    MediaMetric(
        "ig_reels_avg_watch_time", "Average watch time", "Average time that a play lasted", "milliseconds", (REELS,)
    ),
    MediaMetric(
        "ig_reels_video_view_total_time",
        "Total watch time",
        "Time that all plays lasted together, replays included; Meta still develops this metric",
        "milliseconds",
        (REELS,),
    ),
    MediaMetric(
        "reels_skip_rate",
        "Skip rate",
        "Share of the views that ended within the first 3 seconds; an estimate",
        "percent",
        (REELS,),
        estimated=True,
    ),
    MediaMetric(
        "crossposted_views",
        "Views on Instagram and Facebook",
        "Times the reel was played on Instagram and Facebook together",
        "views",
        (REELS,),
        "instagram_and_facebook",
        asked_alone=True,
    ),
    MediaMetric(
        "facebook_views",
        "Views on Facebook",
        "Times the media was played or shown on Facebook, where it is shared to it",
        "views",
        EVERY_TYPE,
        "facebook",
        logins=FACEBOOK_LOGIN,
        asked_alone=True,
    ),
    MediaMetric(
        "navigation",
        "Navigation",
        "Actions with which viewers left or moved within the story",
        "actions",
        (STORY,),
        breakdowns=("story_navigation_action_type",),
    ),
    MediaMetric(
        "replies",
        "Replies",
        "Replies to the story; always 0 for creators in Europe (since 2020-12-01) and Japan (since 2021-04-14)",
        "replies",
        (STORY,),
    ),
    MediaMetric("link_clicks", "Link clicks", "Taps on the story's link", "clicks", (STORY,), logins=FACEBOOK_LOGIN),
    *(
        MediaMetric(
            f"total_{what}",
            f"All {what}",
            f"{what.capitalize()} on the media, those from advertisements and Facebook included",
            what,
            types,
            "with_ads_and_facebook",
            logins=FACEBOOK_LOGIN,
            asked_alone=what == "views",
        )
        for what, types in (("likes", POST_TYPES), ("comments", POST_TYPES), ("views", EVERY_TYPE))
    ),
    MediaMetric(
        "impressions",
        "Impressions",
        "Times the media was on a screen; only media from before 2024-07-02 have this metric, views stands for it",
        "views",
        (FEED, STORY),
        successor=MediaSuccessor(("views",), _INSTAGRAM_REMOVAL),
    ),
    _removed(
        "plays",
        "Plays",
        "Times a reel was played; views answers it, of any media",
        "views",
        MediaSuccessor(("views",), _INSTAGRAM_REMOVAL),
    ),
    _removed(
        "ig_reels_aggregated_all_plays_count",
        "All plays",
        "Times a reel was played, replays included; views answers it, of any media",
        "views",
        MediaSuccessor(("views",), _INSTAGRAM_REMOVAL),
    ),
    _removed(
        "clips_replays_count",
        "Replays",
        "Times the reel was played again; Meta names a watch time in its place, which counts no replays",
        "views",
        MediaSuccessor((), _INSTAGRAM_REMOVAL),
    ),
    _removed(
        "video_views",
        "Video views",
        "Times a video was played; views answers it, of any media",
        "views",
        MediaSuccessor(("views",), _VIDEO_REMOVAL),
    ),
    _removed(
        "engagement",
        "Engagement",
        "Likes and comments together",
        "interactions",
        MediaSuccessor(("likes", "comments"), _OLDEST_REMOVAL),
    ),
    _removed("taps_forward", "Taps forward", "Taps to the next story", "actions", _navigation("TAP_FORWARD")),
    _removed("taps_back", "Taps back", "Taps to the story before", "actions", _navigation("TAP_BACK")),
    _removed("exits", "Exits", "Times viewers left the story", "actions", _navigation("TAP_EXIT")),
)
MEDIA_METRICS: Mapping[str, MediaMetric] = {metric.name: metric for metric in _METRICS}

RECOMMENDED: Mapping[str, tuple[str, ...]] = {
    FEED: (
        "views",
        "reach",
        "likes",
        "comments",
        "saved",
        "shares",
        "reposts",
        "total_interactions",
        "profile_visits",
        "follows",
        "profile_activity",
    ),
    REELS: (
        "views",
        "reach",
        "likes",
        "comments",
        "saved",
        "shares",
        "reposts",
        "total_interactions",
        "ig_reels_avg_watch_time",
        "ig_reels_video_view_total_time",
        "reels_skip_rate",
    ),
    STORY: (
        "views",
        "reach",
        "replies",
        "shares",
        "reposts",
        "total_interactions",
        "profile_visits",
        "follows",
        "navigation",
    ),
}
"""The metrics for a type of media that every media of it can have, by both logins."""
