"""Switches for what the providers' pages leave open, and for what a trial wants otherwise."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.clock import moment_of
from simulator.messages import BadInputError


@dataclass(frozen=True)
class Switch:
    """One switch: what it is at first, which values it takes, in words and as a check."""

    default: Any
    accepted: str
    accepts: Callable[[Any], bool]


def flag(default: bool) -> Switch:
    """Return a switch that is on or off."""
    return Switch(default, "true or false", lambda value: isinstance(value, bool))


def one_of(*values: Any) -> Switch:
    """Return a switch with a few positions, the first being the default."""
    words = ", ".join("null" if value is None else str(value) for value in values)
    return Switch(values[0], f"one of {words}", lambda value: not isinstance(value, bool) and value in values)


def number(default: Any, low: float, high: float, *, also: tuple[Any, ...] = ()) -> Switch:
    """Return a switch with a number, or one of a few other values."""
    beside = "".join(f" or {json.dumps(value)}" for value in also)
    return Switch(
        default, f"a number from {low} to {high}{beside}", lambda value: value in also or _within(value, low, high)
    )


def whole(default: Any, low: int, high: int, *, also: tuple[Any, ...] = ()) -> Switch:
    """Return a switch with a whole number, or one of a few other values."""
    beside = "".join(f" or {json.dumps(value)}" for value in also)
    return Switch(
        default,
        f"a whole number from {low} to {high}{beside}",
        lambda value: value in also or (isinstance(value, int) and _within(value, low, high)),
    )


def moment(default: Any) -> Switch:
    """Return a switch with a moment, or null for none."""
    return Switch(default, "Unix seconds, ISO text or null", lambda value: value is None or _is_moment(value))


def _is_moment(value: Any) -> bool:
    try:
        moment_of(value)
    except BadInputError:
        return False
    return True


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


SWITCHES: Mapping[str, Switch] = {
    # Both providers.
    "latency_ms": number(0, 0, 60_000),
    # Instagram.
    "reporting_delay": flag(True),
    "end_time": one_of("day_end", "day_start"),
    "usage": whole(None, 0, 1000, also=(None,)),  # percent of an account's limit; null: from the calls counted
    "app_usage": whole(None, 0, 1000, also=(None,)),  # percent of the app's limit
    "regain_minutes": whole(10, 0, 1440),
    # "mixed": with entries of other uses and of the Page, and with a key that comes twice, as in Meta's own sample.
    "usage_entries": one_of("own", "mixed"),
    "unknown_version": one_of("oldest", "refused"),  # A version yet to come is served by the oldest live one, or not.
    "words_zone": one_of("pacific", "utc"),  # whose days `since=yesterday` is about
    "batch_answers": whole(None, 0, 50, also=(None,)),  # parts of a batch that are answered in time; null: all
    "repeat_post": flag(True),
    "expired_story": one_of("missing", "empty"),  # what a story answers once it is over
    "media_max_page": whole(100, 1, 1000),
    "require_app_secret": flag(False),
    "bearer": flag(True),
    "hidden_likes_omitted": flag(True),
    "hidden_counts": one_of("likes", "all"),  # what lists leave out of posts whose owner hides counts
    "portfolio_pages": one_of("listed", "left_out", "without_account"),  # Pages, where business_management is missing
    "follows_plain_value": one_of("value", "skeleton"),
    "demographics_keys": one_of("breakdown", "timeframe_first"),  # as seen live, as in Meta's pages
    "old_timeframes": one_of("refused", "answered"),  # of follower_demographics, such as last_90_days
    "online_followers_recent": one_of("empty", "refused"),  # a range with one of the last two days
    # Instagram, media and their insights.
    "media_window": one_of("filtered", "ignored"),  # what `since` and `until` do to the list of posts
    "collaborative_window": one_of("ignored", "filtered"),  # what they do to posts of others; the first was seen live
    "collaborative_page": whole(None, 1, 100, also=(None,)),  # At most so many at once with their total views, else 1.
    "collaborative_insights": one_of("refused", "missing", "answered"),  # of posts of others
    "expansion_refusals": one_of("page", "omitted"),  # One refused media refuses its page, or comes without insights.
    "expansion_weight": one_of("one", "media"),  # What counts of a call that reads N media with insights: 1, or N.
    "pre_conversion_before": moment(None),  # Media from before has no insights; null: as each account's kind says.
    "shared_to_facebook": one_of("some", "all", "none"),
    "profile_activity_since": moment("2017-10-26T00:00:00Z"),  # Older media has no profile_activity.
    "ad_insights": one_of("feed", "refused"),  # Media of the product type AD answers as FEED does, or has no metric.
    "album_child_insights": one_of("unsupported", "empty"),
    "plain_navigation": one_of("answered", "refused"),  # navigation and profile_activity without a breakdown
    "story_minimum": one_of("viewers", "values"),  # what must be at least 5: the viewers, or each value
    "total_views": one_of("answered", "refused"),
    "views_needs_metric_type": flag(False),
    "media_without_views": whole(0, 0, 1000),  # posts of a thousand that refuse the metric views
    "media_dips": flag(False),  # Every third hour reach, profile_visits and follows of media are a little lower.
    # Instagram's webhooks.
    "webhook_story_counts": one_of("old", "both", "new"),  # the six names of Meta's page, today's two, or both
    "webhook_zeros": one_of("hidden", "kept"),  # whether 0 is -1, as the page says, or 0, as its sample has it
    # Instagram, by Instagram login.
    "locale": one_of("en", "ja", "pt", "fr"),  # of the common refusals
    "igl_bearer": flag(True),
    "igl_appsecret_proof": one_of("ignored", "verified", "refused"),
    "igl_website_clicks": one_of("missing", "answered", "refused"),
    "igl_facebook_metrics": one_of("unlisted", "unsupported", "answered"),  # the media metrics of the Facebook login
    "igl_range_limit": flag(False),
    "igl_token_seconds": whole(5_183_944, 60, 1_000_000_000),  # how long a long-lived token lives
    "igl_refresh_new_token": flag(True),
    "igl_code_answer": one_of("list", "flat"),
    # Modash.
    "retry_later_shape": one_of("vendor", "seed", "mixed"),
    "retry_later_status": whole(None, 200, 599, also=(None,)),  # null: 200 for the seed's shape, else 400
    "report_ready_after_calls": whole(0, 0, 1_000_000, also=("never",)),
    "report_ready_after_seconds": number(0, 0, 1_000_000),
    "report_windows": one_of("ascending", "descending", "one", "truncated", "empty"),
    "week_day_hour": one_of("number", "map"),
    "bad_token_status": one_of(401, 403),
    "negative_balance": flag(False),
    "error_false": flag(False),
    "price": whole(250, 0, 1_000_000),  # thousandths of a credit, as the next two
    "repeat_price": whole(250, 0, 1_000_000),
    "refusal_price": whole(0, 0, 1_000_000),
    "start_credits": number(3000, 0, 1_000_000),
    "modash_rate_limit": whole(2, 0, 1_000_000),  # calls per second and token; 0 is off
    "modash_rate_limit_json": flag(True),
    "modash_retry_after": whole(None, 0, 3600, also=(None,)),  # seconds, sent with a 429; null: no such header
    "health_status": one_of(200, 503),
}


class Switches:
    """The switches as they stand; read like `switches["end_time"]`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = {name: switch.default for name, switch in SWITCHES.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def describe(self) -> dict[str, Any]:
        """Return all switches by name."""
        return dict(self._values)

    def set(self, changes: Mapping[str, Any]) -> None:
        """Move some switches, all of them or, when one is wrong, none."""
        for name, value in changes.items():
            if name not in SWITCHES:
                raise BadInputError(f"unknown switch {name}; accepted: {', '.join(SWITCHES)}")
            if not SWITCHES[name].accepts(value):
                raise BadInputError(f"{name} takes {SWITCHES[name].accepted}")
        with self._lock:
            self._values = {**self._values, **changes}

    def reset(self) -> None:
        """Move every switch back."""
        self.set({name: switch.default for name, switch in SWITCHES.items()})
