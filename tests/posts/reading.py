"""A worker that looks at the posts of a world whose clocks it moves, what it has kept, and the truth about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.background.jobs import POSTS_OF, Runner, handlers


class Worker:
    """Runs the job of one account, from one due time to the next."""

    def __init__(self, world):
        self.world = world
        self.services = world.services
        self.runner = Runner(self.services.store, handlers(self.services, self.services.store.clock), world.clock)
        self.services.store.jobs.put(POSTS_OF, world.account["id"], due_at=world.clock.timestamp())

    def claim(self):
        return self.services.store.jobs.claim("worker", 10, now=self.world.clock.timestamp(), kinds=[POSTS_OF])

    def run(self):
        """Run what is due; return how many jobs that were."""
        claimed = self.claim()
        for job in claimed:
            self.runner.run(job)
        return len(claimed)

    def next_due(self):
        with self.services.store.databases[1].read() as connection:
            return connection.exec_driver_sql(f"SELECT min(due_at) FROM jobs WHERE kind = '{POSTS_OF}'").scalar()

    def run_until(self, end):
        """Move to each due job in turn and run it, until a moment."""
        while (due := self.next_due()) is not None and due <= end.timestamp():
            wait = due - self.world.clock.timestamp()
            if wait > 0:
                self.world.advance(seconds=wait + 0.001)
            self.run()
        self.world.advance(seconds=end.timestamp() - self.world.clock.timestamp())

    def end_leases(self):
        with self.services.store.databases[1].write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET lease_until = 1")


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
