"""The metrics of account insights, as data."""

from dataclasses import dataclass

ACCEPTED = (  # in the order in which a refusal names them
    *("reach", "follower_count", "website_clicks", "profile_views", "online_followers", "accounts_engaged"),
    *("total_interactions", "likes", "comments", "shares", "saves", "replies", "engaged_audience_demographics"),
    *("reached_audience_demographics", "follower_demographics", "follows_and_unfollows", "profile_links_taps", "views"),
    *("threads_likes", "threads_replies", "reposts", "quotes", "threads_followers", "threads_follower_demographics"),
    *("content_views", "threads_views", "threads_clicks", "threads_reposts"),
)
PERIODS = ("day", "week", "days_28", "month", "lifetime", "total_over_range")
METRIC_TYPES = ("default", "time_series", "total_value")
BREAKDOWNS = ("age", "city", "country", "gender", "follow_type", "media_product_type", "contact_button_type")
TIMEFRAMES = ("last_14_days", "last_30_days", "last_90_days", "prev_month", "this_month", "this_week")
CURRENT_TIMEFRAMES = ("this_week", "this_month")  # Meta withdrew the others.
AUDIENCE = ("age", "city", "country", "gender")

DAYS_OF_PERIOD = {"day": 1, "week": 7, "days_28": 28}


@dataclass(frozen=True)
class Metric:
    """What a metric is called, and in which calls it fits."""

    name: str
    title: str
    description: str
    breakdowns: tuple[str, ...] = ()
    periods: tuple[str, ...] = ("day",)
    has_total: bool = True
    has_series: bool = False
    crosses: bool = False  # takes several breakdowns at once
    is_unique: bool = False  # counts people, so that days do not add up
    needs_followers: bool = False  # unavailable below 100 followers
    delay_hours: int = 48

    @property
    def is_audience(self) -> bool:
        """Return whether it describes people rather than days."""
        return self.breakdowns == AUDIENCE


TYPE, FOLLOW, BUTTON = ("media_product_type",), ("follow_type",), ("contact_button_type",)

METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "reach",
            "Accounts reached",
            "The number of unique accounts that have seen your content at least once.",
            TYPE + FOLLOW,
            ("day", "week", "days_28"),
            has_series=True,
            crosses=True,
            is_unique=True,
        ),
        Metric("views", "Views", "The number of times your content was played or displayed.", TYPE + FOLLOW),
        Metric(
            "accounts_engaged",
            "Accounts engaged",
            "The number of accounts that have interacted with your content.",
            is_unique=True,
        ),
        Metric(
            "total_interactions", "Content interactions", "The total number of interactions with your content.", TYPE
        ),
        Metric("likes", "Likes", "The number of likes on your content.", TYPE),
        Metric("comments", "Comments", "The number of comments on your content.", TYPE),
        Metric("saves", "Saves", "The number of saves of your content.", TYPE),
        Metric("shares", "Shares", "The number of shares of your content.", TYPE),
        Metric("replies", "Replies", "The number of replies to your stories."),
        Metric("reposts", "Reposts", "The number of times your content was reposted."),
        Metric(
            "follows_and_unfollows",
            "Follows and unfollows",
            "The number of accounts that followed you and that unfollowed you.",
            FOLLOW,
            needs_followers=True,
            delay_hours=72,
        ),
        Metric("profile_links_taps", "Profile links taps", "The number of taps on the links of your profile.", BUTTON),
        Metric("profile_views", "Profile views", "The number of times your profile was viewed."),
        Metric("website_clicks", "Website clicks", "The number of taps on the website of your profile."),
        Metric(
            "follower_count",
            "Follower count",
            "The number of new followers each day.",
            has_total=False,
            has_series=True,
            needs_followers=True,
            delay_hours=72,
        ),
        Metric(
            "online_followers",
            "Online followers",
            "The number of your followers who were online, by hour.",
            periods=("lifetime",),
            has_total=False,
            has_series=True,
            needs_followers=True,
        ),
        Metric(
            "follower_demographics",
            "Follower demographics",
            "The demographic characteristics of followers.",
            AUDIENCE,
            ("lifetime",),
            crosses=True,
            needs_followers=True,
        ),
        Metric(
            "engaged_audience_demographics",
            "Engaged audience demographics",
            "The demographic characteristics of the engaged audience.",
            AUDIENCE,
            ("lifetime",),
            crosses=True,
            needs_followers=True,
        ),
    )
}
