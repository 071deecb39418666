"""A worker that looks at the posts of a world whose clocks it moves, what it has kept, and the truth about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.background.job_schedule import POSTS_OF
from tests.world import WorldWorker


def post_worker(world):
    """Return a worker that looks at the posts of a world."""
    return WorldWorker(world, POSTS_OF)


def kept(world, since=0.0):
    """The kept posts since a moment, the newest first."""
    return world.services.store.posts.between(world.account["id"], since, world.clock.timestamp())


def points_of(world, post):
    """The readings of a post by age."""
    return world.services.store.posts.readings(world.account["id"], [post]).get(post, [])


class Truth:
    """The numbers of the posts of a world at any moment."""

    def __init__(self, world):
        self._world = world
        self._at = {}

    def at(self, row, moment):
        """The true numbers of a kept post at a moment, by the names of readings."""
        posted = datetime.fromtimestamp(row.posted_at, UTC)
        key = posted.date(), moment
        if key not in self._at:
            now = datetime.fromtimestamp(moment, UTC).isoformat()
            days = {"since": f"{(posted - timedelta(days=1)).date()}", "until": f"{posted.date()}"}
            body = self._world.truth(at=now, insights="true", **days)
            self._at[key] = {
                each["id"]: {**each["insights"], "likes": each["like_count"], "comments": each["comments_count"]}
                for each in body["posts"]
            }
        return self._at[key][row.id]
