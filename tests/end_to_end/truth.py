"""What the gateway should answer, worked out from the simulator's truth without any of the gateway's code."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
DAY = timedelta(days=1)
OF_FOLLOWERS = {"follower_count", "follows_and_unfollows"}
BUTTONS = {
    "email_contacts": "EMAIL",
    "get_directions_clicks": "DIRECTION",
    "phone_call_clicks": "CALL",
    "text_message_clicks": "TEXT",
}
BUCKETS = {
    "follow_type": ["FOLLOWER", "NON_FOLLOWER"],
    "media_product_type": ["AD", "CAROUSEL_CONTAINER", "POST", "REEL", "STORY"],
    "contact_button_type": ["BOOK_NOW", "CALL", "DIRECTION", "EMAIL", "INSTANT_EXPERIENCE", "TEXT", "UNDEFINED"],
}


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=PACIFIC).astimezone(UTC)


def end_time(day: date, *, marks: str = "day_end") -> str:
    return midnight(day + DAY if marks == "day_end" else day).strftime("%Y-%m-%dT%H:%M:%S+0000")


class Truth:
    """One account's truth at the simulator's present moment."""

    def __init__(self, body: dict, now: datetime) -> None:
        self.body = body
        self.now = now
        self.today = now.astimezone(PACIFIC).date()
        self.days = {date.fromisoformat(day["date"]): day for day in body["days"]}
        self.followers = body["followers_count"]

    def value(self, metric: str, first: date, last: date) -> int | None:
        """The number for a window, or None where it cannot be known."""
        if metric == "impressions":
            return self.value("views", first, last)
        if metric in BUTTONS:
            buckets = self.buckets("profile_links_taps", "contact_button_type", first, last)
            return None if buckets is None else buckets[BUTTONS[metric]]
        days = self._known(metric, first, last)
        if days is None:
            return None
        if metric == "follows_and_unfollows":
            return sum(day["follows"] + day["unfollows"] for day in days)
        return self._together(metric, [day["metrics"][metric] for day in days])

    def buckets(self, metric: str, breakdown: str, first: date, last: date) -> dict[str, int | None] | None:
        """The number of each bucket for a window; a bucket that cannot be known is None."""
        days = self._known(metric, first, last)
        if days is None:
            return None
        withheld = metric in self.body["withheld_breakdowns"]
        listed: dict[str, int] = {}
        for bucket in BUCKETS[breakdown] if not withheld else []:
            values = [day["breakdowns"].get(metric, {}).get(breakdown, {}).get(bucket, 0) for day in days]
            if count := self._together(metric, values):
                listed[bucket] = count
        total = None if metric == "follows_and_unfollows" else self.value(metric, first, last)
        if not listed and total != 0:
            return None
        rest = 0 if total is None or sum(listed.values()) == total else None
        return {bucket: listed.get(bucket, rest) for bucket in BUCKETS[breakdown]}

    def posts(self, since: datetime, until: datetime) -> list[dict]:
        """The posts published from one moment to another, newest first."""
        return [post for post in self.body["posts"] if since <= datetime.fromisoformat(post["timestamp"]) <= until]

    def insight(self, post: dict, metric: str) -> float | None:
        """An insight of a post, or its own interactions by its own reach; None from before the conversion."""
        if post["before_conversion"]:
            return None
        if metric != "engagement_rate":
            return post["insights"][metric]
        return self._own(post, "reach")

    def own_rate(self, first: date, last: date, base: str, method: str) -> float | None:
        """The rate of the posts of some days by their own reach or views."""
        posts = self.posts(midnight(first), midnight(last + DAY) - timedelta(seconds=1))
        used = [post for post in posts if self._own(post, base) is not None]
        if not used:
            return None
        rates = sorted(self._own(post, base) for post in used)
        if method == "median":
            middle = len(rates) // 2
            return rates[middle] if len(rates) % 2 else (rates[middle - 1] + rates[middle]) / 2
        if method == "ratio_of_sums":
            interactions = sum(post["insights"]["total_interactions"] for post in used)
            return interactions / sum(post["insights"][base] for post in used)
        return sum(rates) / len(rates)

    @staticmethod
    def _own(post: dict, base: str) -> float | None:
        insights = post["insights"]
        if post["before_conversion"] or not insights[base]:
            return None
        return insights["total_interactions"] / insights[base]

    def engagement_rate(self, first: date, last: date) -> float | None:
        """The mean of (likes + comments) / followers over the posts whose likes are known."""
        posts = self.posts(midnight(first), midnight(last + DAY) - timedelta(seconds=1))
        known = [post["like_count"] + post["comments_count"] for post in posts if not post["likes_hidden"]]
        if not known or not self.followers:
            return None
        return sum(known) / len(known) / self.followers

    def followers_before(self, first: date) -> int | None:
        """The followers when a day began; None where Instagram gives no follows."""
        if self._known("follows_and_unfollows", first, self.today) is None:
            return None
        return self.days[first - DAY]["followers"] if first - DAY in self.days else self._at_first()

    def _at_first(self) -> int:
        first = min(self.days)
        return self.days[first]["followers"] - self.days[first]["follows"] + self.days[first]["unfollows"]

    def _known(self, metric: str, first: date, last: date) -> list[dict] | None:
        if metric in OF_FOLLOWERS and self.followers < 100:
            return None
        days = [self.days[day] for day in _range(first, last) if day in self.days]
        # A range that takes several calls is known only if each of them is answered.
        unanswered = any(not set(part) & self.days.keys() for part in _calls(first, last))
        if unanswered or (metric == "follower_count" and len(days) < (last - first).days + 1):
            return None
        return days

    def _together(self, metric: str, values: list[int]) -> int:
        if metric not in self.body["unique_metrics"]:
            return sum(values)
        k = self.body["uniqueness"]
        return round((1 - k) * max(values) + k * sum(values))


def _range(first: date, last: date) -> list[date]:
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def _calls(first: date, last: date) -> list[list[date]]:
    """The days of a range as Instagram's limit of 2,592,000 seconds for a call cuts them."""
    parts: list[list[date]] = [[]]
    for day in _range(first, last):
        if parts[-1] and (midnight(day + DAY) - midnight(parts[-1][0])).total_seconds() > 2_592_000:
            parts.append([])
        parts[-1].append(day)
    return parts
