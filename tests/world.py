"""A gateway in this process on a clock that a test moves, and a simulator that is moved in step."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config import Config
from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from tests.movable_clock import MovableClock
from tests.support import UNLIMITED_MODASH_RATE, live_settings, new_instance, utc

NOW = utc("2026-11-21T18:00")  # ten in the morning in California
QUIET_WITHIN = 30  # seconds


class World:
    """One account of the simulator, and a client of a gateway for it."""

    def __init__(self, simulator, make_client, kind, more):
        listed = simulator.get("/_simulator/accounts").json()
        self.simulator = simulator
        self.clock = MovableClock(NOW)
        self.account = next(account for account in listed["accounts"] if account["kind"] == kind)
        live = live_settings(simulator.url, self.account, listed["app"], listed["modash"]["key"])
        # Retries and turns would wait on the clock, which does not move by itself.
        hurried = {"RETRY_BUDGET": "0", "MODASH_RATE": str(UNLIMITED_MODASH_RATE)}
        self.settings = live | hurried | {"INSTANCE_PATH": new_instance()} | more
        self._make_client = make_client
        self._built = []
        self._step()
        self.switch(modash_rate_limit=0)
        simulator.post("/_simulator/calls/reset")
        self.restart()

    def restart(self, **settings):
        """Build the gateway again, over the same store."""
        self.settings = self.settings | settings
        self.client = self._make_client(Config.from_env(self.settings), clock=self.clock)
        self._built.append(self.services)

    @property
    def services(self):
        return self.client.application.extensions["services"]

    def get(self, path, **options):
        return self.client.get(path, **options)

    def body(self, path):
        response = self.get(path)
        assert response.status_code == 200, response.get_json()
        return response.get_json()

    def settle(self):
        """Wait until nothing is fetched in the background any more."""
        assert self.services.wait_until_quiet(QUIET_WITHIN)

    def end(self):
        """Let everything under way come to its end."""
        self.heal()
        for services in self._built:
            services.wait_until_quiet(QUIET_WITHIN)

    def advance(self, **time):
        """Move both clocks ahead."""
        self.clock.wait(timedelta(**time).total_seconds())
        self._step()

    def calls(self, part=""):
        """Return the calls for the account whose path or query has a part; then count from zero again."""
        self.settle()
        made = self.simulator.get("/_simulator/calls").json()
        self.simulator.post("/_simulator/calls/reset")
        paths = [call["path"] for name in ("instagram", "modash") for call in made[name]["calls"]]
        return [path for path in paths if part in path]

    def fault(self, kind, provider="instagram", **options):
        self.simulator.post("/_simulator/faults", {"provider": provider, "kind": kind} | options)

    def heal(self):
        self.simulator.session.delete(f"{self.simulator.url}/_simulator/faults", timeout=60)

    def switch(self, **switches):
        self.simulator.post("/_simulator/switches", switches)

    def truth(self, **query):
        return self.simulator.get(f"/_simulator/truth/{self.account['id']}", params=query).json()

    def _step(self):
        self.simulator.post("/_simulator/clock", {"now": self.clock.now().isoformat()})


class WorldWorker:
    """Runs jobs of some kinds for the account of a world, whose clocks it moves from one due job to the next."""

    def __init__(self, world, *kinds):
        """Put the job of the first kind for the account, due at once."""
        self.world = world
        self.kinds = kinds
        self.take_over()
        self.services.store.jobs.put(kinds[0], world.account["id"], due_at=world.clock.timestamp())

    def take_over(self):
        """Work with the services that the world has now, for instance after a restart."""
        self.services = self.world.services
        self.runner = Runner(self.services.store, handlers(self.services, self.services.store.clock), self.world.clock)

    def claim(self):
        """Claim what is due."""
        return self.services.store.jobs.claim("worker", 10, now=self.world.clock.timestamp(), kinds=self.kinds)

    def run(self):
        """Run what is due; return how many jobs that were."""
        claimed = self.claim()
        for job in claimed:
            self.runner.run(job)
        return len(claimed)

    def next_due(self):
        """Return when the next job is due (Unix seconds), or None without any."""
        listed = ", ".join(f"'{kind}'" for kind in self.kinds)
        with self.services.store.databases[1].read() as connection:
            return connection.exec_driver_sql(f"SELECT min(due_at) FROM jobs WHERE kind IN ({listed})").scalar()

    def run_until(self, end):
        """Move to each due job in turn and run it, until a moment."""
        while (due := self.next_due()) is not None and due <= end.timestamp():
            if (wait := due - self.world.clock.timestamp()) > 0:
                self.world.advance(seconds=wait + 0.001)
            self.run()
        self.world.advance(seconds=max(0, end.timestamp() - self.world.clock.timestamp()))

    def end_leases(self):
        """End the lease of every job, as if its worker had died."""
        with self.services.store.databases[1].write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET lease_until = 1")


@pytest.fixture
def make_world(simulator, make_client):
    """Build a world around the first account of a kind, with more settings."""

    made = []

    def make(kind="prolific", **settings):
        made.append(World(simulator, make_client, kind, settings))
        return made[-1]

    yield make
    for world in made:
        world.end()


@pytest.fixture
def world(make_world):
    return make_world()
