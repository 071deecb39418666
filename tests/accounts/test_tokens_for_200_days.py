"""200 days of tokens: none is lost that could be refreshed, each person is warned three times, one refusal is one.

`make prove ARGS=tokens` has 50 accounts, each checked daily; `make test` has a few, checked every five days and at
each moment of a warning or refresh.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict

import pytest

from services.accounts import token_refresh
from tests.accounts.token_world import TokenWorld

IS_LONG = os.environ.get("TOKENS") == "all"
ACCOUNTS, CHECK_EVERY = (50, 1) if IS_LONG else (6, 5)  # accounts, and days
DAYS = 200
BROKEN_FROM, BROKEN_UNTIL = 60, 130
OUTAGE = range(95, 99)
BROKEN, IGNORING = 1, 4  # accounts, by number: whose token is taken back, and whose person answers no warning
ENDS_SOON = "The token of an account ends soon"
REFUSED = "Instagram does not accept the token of an account any more"


class Persons:
    """Give the first tokens, and a new one on the last warning; half of the accounts have each login."""

    def __init__(self, world):
        self.world = world
        self.accounts = [each["id"] for each in world.listed[:ACCOUNTS]]
        self.given = Counter()
        self.warned = defaultdict(list)
        self.refused = []
        self.fine = defaultdict(list)  # the days on which a token was found to be fine, by account
        for number in range(ACCOUNTS):
            self.give(number, age_days=number % 29 + 1 + number / 100)
            world.keep(self.accounts[number])

    @staticmethod
    def login(number):
        return "instagram" if number % 2 else "facebook"

    def give(self, number, **order):
        """Log in, and give a token; of every second account of the Facebook login it is that of the Page."""
        account, login = self.accounts[number], self.login(number)
        self.given[number] += 1
        self.world.add(account, login, self.world.give(account, login, page=number % 4 == 2, **order))
        self.world.keep(account)

    def live(self, day):
        """Do what is to be done on a day."""
        if day == BROKEN_FROM:
            self.world.take_back(self.accounts[BROKEN], "instagram", 460)
        if day == BROKEN_UNTIL:
            self.give(BROKEN)
        if day == OUTAGE.start:
            self.world.fault("server_error")
        if day == OUTAGE.stop:
            self.world.heal()

    def see(self, day, records):
        """Note what the log says, and answer the last warnings."""
        for record in records:
            if record.message == REFUSED:
                self.refused.append(self.accounts.index(record.account))
            elif record.message == ENDS_SOON:
                number = self.accounts.index(record.account)
                self.warned[number].append(record.days_left)
                if record.days_left == 1 and number != IGNORING:
                    self.give(number)
        for number, account in enumerate(self.accounts):
            if self.world.services.token_states.judged(self.world.row(account)).state not in {"expired", "invalid"}:
                self.fine[number].append(day)


@pytest.fixture
def persons(simulator, make_client, monkeypatch):
    monkeypatch.setattr(token_refresh, "CHECK_EVERY", CHECK_EVERY * 86_400.0)
    return Persons(TokenWorld(simulator, make_client))


@pytest.mark.timeout(3600 if IS_LONG else 300)
def test_200_days_of_accounts_of_both_logins(persons, caplog):
    caplog.set_level(logging.INFO)
    world, seen = persons.world, 0
    for day in range(DAYS):
        persons.live(day)
        world.check_due()
        records, seen = caplog.records[seen:], len(caplog.records)
        persons.see(day, records)
        world.advance(days=1)

    numbers = set(range(ACCOUNTS))
    assert sorted(persons.refused) == [BROKEN, IGNORING]
    assert {number: days for number, days in persons.fine.items() if len(days) < DAYS}.keys() == {BROKEN, IGNORING}
    assert not set(persons.fine[BROKEN]) & set(range(BROKEN_FROM + CHECK_EVERY, BROKEN_UNTIL))
    assert len(persons.fine[BROKEN]) >= DAYS - (BROKEN_UNTIL - BROKEN_FROM) - 1
    # Each account of the Facebook login needs its person, and each of the Instagram login was refreshed instead.
    assert persons.warned.keys() == {number for number in numbers if persons.login(number) == "facebook"}
    for number, days in persons.warned.items():
        # The warnings of the last token may have only begun when the 200 days are over.
        assert days == ([14, 7, 1] * DAYS)[: len(days)], number
        assert 1 in days, number
        assert persons.given[number] == (1 if number == IGNORING else 1 + days.count(1))
    statuses = {}
    for number, account in enumerate(persons.accounts):
        statuses[number] = world.client.get(f"/top-posts?time_range=7d&account={account}").status_code
    assert statuses == {number: 401 if number == IGNORING else 200 for number in numbers}
