"""Accounts of both logins whose tokens were given at various moments, a worker that keeps them, and their persons."""

from __future__ import annotations

import heapq
from datetime import timedelta

from config import SANDBOX_CREDENTIALS, Config
from services.accounts.current_tokens import fingerprint
from services.accounts.token_encryption import new_key
from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.background.job_schedule import TOKEN_OF
from services.errors import AccountUnknownError, ProviderError
from services.store.accounts import AccountRow
from tests.movable_clock import MovableClock
from tests.support import UNLIMITED_MODASH_RATE, new_instance, utc

NOW = utc("2026-11-21T18:00")


class TokenWorld:
    """A gateway without an account in its settings, and accounts of the simulator that are added to it."""

    def __init__(self, simulator, make_client, **more):
        self.simulator, self._make_client = simulator, make_client
        self.clock = MovableClock(NOW)
        self.listed = simulator.get("/_simulator/accounts").json()["accounts"]
        self.settings = {
            "PROVIDERS": "live",
            "GRAPH_BASE_URL": f"{simulator.url}/graph.facebook.com",
            "MODASH_BASE_URL": f"{simulator.url}/api.modash.io",
            **{name.upper(): SANDBOX_CREDENTIALS[name] for name in ("app_id", "app_secret")},
            **{name.upper(): SANDBOX_CREDENTIALS[name] for name in ("instagram_app_id", "instagram_app_secret")},
            "TOKEN_KEY": new_key(),
            "RETRY_BUDGET": "0",
            "MODASH_RATE": str(UNLIMITED_MODASH_RATE),
            "INSTANCE_PATH": new_instance(),
            "ALLOW_ANONYMOUS": "true",
            **more,
        }
        self.due = []
        self.advance()
        self.restart()

    def restart(self, **settings):
        """Build the gateway again, over the same store."""
        self.settings |= settings
        self.client = self._make_client(Config.from_env(self.settings), clock=self.clock)
        self.services = self.client.application.extensions["services"]
        self.refresh, self.table = self.services.token_refresh, self.services.store.account_tokens
        self.runner = Runner(self.services.store, handlers(self.services, self.services.store.clock), self.clock)

    def configure(self, token, **settings):
        """Set a token of the Instagram login in the settings."""
        url = f"{self.simulator.url}/graph.instagram.com"
        self.restart(GRAPH_BASE_URL=url, ACCESS_LONG_LIVED_TOKEN=token, **settings)

    def advance(self, **time):
        """Move both clocks ahead."""
        self.clock.wait(timedelta(**time).total_seconds())
        self.simulator.post("/_simulator/clock", {"now": self.clock.now().isoformat()})

    def give(self, account, login, **order):
        """Let the person of an account give a token, and return it."""
        return self.simulator.post("/_simulator/tokens", {"account": account, "login": login} | order).json()["token"]

    def take_back(self, account, login, subcode):
        """Let the person of an account take back every token so far; None: make good what was wrong."""
        self.simulator.post("/_simulator/tokens", {"account": account, "login": login, "taken_back": subcode})

    def add(self, account, login, token):
        """Add an account or replace its token, as `make account` does."""
        sealed = self.services.token_encryption.seal(token)
        row = AccountRow(account, f"name{account}", login, "", sealed, self.clock.timestamp())
        self.services.store.accounts.put(row)
        self.clock.wait(2)  # The table is read every two seconds.

    def token(self, account):
        """Return the token that an account is read with."""
        return self.services.accounts.find(account).token

    def row(self, account):
        """Return what is kept of the token that an account is read with."""
        rows = [row for row in self.table.all() if row.account == account]
        mine = fingerprint(self.token(account))
        # A token that was given just now has no row before its first check.
        return next((row for row in rows if row.fingerprint == mine), rows[0])

    def state(self, account):
        """Return the state of the token of an account."""
        listed = [each for each in self.services.accounts.listed() if each.id == account]
        return self.services.token_states.of(listed)[account]

    def calls(self, part=""):
        """Return the calls of Instagram since the last time, by their paths and queries."""
        made = self.simulator.get("/_simulator/calls").json()["instagram"]["calls"]
        self.simulator.post("/_simulator/calls/reset")
        return [call["path"] for call in made if part in call["path"]]

    def fault(self, kind, **options):
        self.simulator.post("/_simulator/faults", {"provider": "instagram", "kind": kind} | options)

    def heal(self):
        self.simulator.session.delete(f"{self.simulator.url}/_simulator/faults", timeout=60)

    def run_jobs(self):
        """Run the jobs that are due, as a worker does; return how many those were."""
        jobs = self.services.store.jobs
        claimed = jobs.claim("worker", 100, now=self.clock.timestamp(), kinds={"tokens", TOKEN_OF})
        for job in claimed:
            self.runner.run(job)
        return len(claimed)

    def keep(self, account):
        """Have the token of an account checked from now on, whenever it is due."""
        heapq.heappush(self.due, (self.clock.timestamp(), account))

    def check_due(self):
        """Check the tokens that are due, without a table of jobs; a failure is tried again after an hour."""
        while self.due and self.due[0][0] <= self.clock.timestamp():
            _, account = heapq.heappop(self.due)
            try:
                again = self.refresh.check(account).due_at
            except AccountUnknownError:
                continue
            except ProviderError:
                again = self.clock.timestamp() + 3600
            heapq.heappush(self.due, (again, account))
