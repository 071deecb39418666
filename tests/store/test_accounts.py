"""Accounts and their health: what is older replaces nothing newer, and a username is that of one account."""

from __future__ import annotations

import pytest

from services.store.account_health import CallRow, CheckRow
from services.store.accounts import AccountRow

ONE, OTHER = "17841400000000001", "17841400000000002"


@pytest.mark.parametrize(
    ("checked_at", "failed_as"), [(99.0, None), (100.0, "scopes_missing"), (101.0, "scopes_missing")]
)
def test_an_older_check_never_replaces_a_newer_one(store, checked_at, failed_as):
    store.account_health.checked(CheckRow(ONE, 100.0))

    store.account_health.checked(CheckRow(ONE, checked_at, "scopes_missing", "It lacks some.", "Log in again."))

    assert store.account_health.of([ONE])[ONE].failed_as == failed_as


@pytest.mark.parametrize(("moment", "known"), [(99.0, (100.0, 100.0, "expired")), (101.0, (101.0, 101.0, "invalid"))])
def test_the_end_of_an_older_call_never_replaces_that_of_a_newer_one(store, moment, known):
    store.account_health.called([CallRow(ONE, 100.0, 100.0, "expired")])

    store.account_health.called([CallRow(ONE, moment, moment, "invalid")])

    row = store.account_health.of([ONE])[ONE]
    assert (row.answered_at, row.rejected_at, row.rejected_as) == known


def test_an_account_that_is_added_takes_its_username_from_the_one_that_had_it(store):
    for account in (ONE, OTHER):
        store.accounts.put(AccountRow(account, "corner.bakery", "facebook", "", b"sealed", 1.0))

    assert {row.id: row.username for row in store.accounts.rows()} == {ONE: "", OTHER: "corner.bakery"}
