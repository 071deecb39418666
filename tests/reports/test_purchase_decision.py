"""Whether a report is bought: every combination of what is kept, pending and unsettled, and of what is wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from services.reports.purchase_decision import ReportState, decide, held_until, obstacle
from services.reports.purchase_policy import PurchasePolicy, longest_call, next_month
from services.store.ledger import CreatorRecord, UnsettledCall
from services.store.reports import KeptReport, PendingReport

NOW = 1_000_000.0
POLICY = PurchasePolicy(fresh_for=100, hold=900, limit=1000, retry_after=300, max_retries=2, longest_call=60)

REPORTS = {
    "no report": None,
    "fresh": KeptReport(1, {}, NOW - 50, 250, None),
    "expired": KeptReport(1, {}, NOW - 100, 250, None),
}
PENDING = {
    "none pending": None,
    "waiting": PendingReport(NOW - 299, 1, "Wait."),
    "due": PendingReport(NOW - 300, 1, "Wait."),
    "given up": PendingReport(NOW - 299, 3, "Wait."),
    "starts over": PendingReport(NOW - 300, 3, "Wait."),
    "asked for ahead of now": PendingReport(NOW + 21_600, 1, "Wait."),
}


@pytest.mark.parametrize(("fetched_at", "serves"), [(NOW - 1, False), (NOW, True), (NOW + 1, True)])
def test_a_report_that_came_at_the_moment_of_a_refresh_is_new_enough(fetched_at, serves):
    assert POLICY.serves(fetched_at, now=NOW + 2, not_before=NOW) is serves


@pytest.mark.parametrize(
    ("moment", "then"),
    [
        ((2026, 1, 31, 23), (2026, 2, 1)),
        ((2026, 6, 30, 23), (2026, 7, 1)),
        ((2026, 11, 30, 23), (2026, 12, 1)),
        ((2026, 12, 1, 0), (2027, 1, 1)),
    ],
)
@pytest.mark.usefixtures("in_new_york")
def test_a_month_begins_in_utc_on_any_machine(moment, then):
    assert next_month(datetime(*moment, tzinfo=UTC).timestamp()) == datetime(*then, tzinfo=UTC).timestamp()


def call(opened_at, settled_at=None):
    state = "open" if settled_at is None else "uncertain"
    return UnsettledCall(1, "nasa", "anonymous", state, 250, opened_at, settled_at, None)


UNSETTLED = {
    "settled": [],
    "under way": [call(NOW - 59)],
    "dead, held": [call(NOW - 60)],
    "dead, over": [call(NOW - 960)],
    "uncertain, held": [call(NOW - 900, NOW - 899)],
    "uncertain, over": [call(NOW - 950, NOW - 900)],
    "uncertain before, under way now": [call(NOW - 100, NOW - 100), call(NOW)],
    "over before, held now": [call(NOW - 2000, NOW - 1990), call(NOW - 900, NOW - 899)],
}
HELD = {
    "under way": ReportState.IN_FLIGHT,
    "uncertain before, under way now": ReportState.IN_FLIGHT,
    "dead, held": ReportState.UNCERTAIN,
    "uncertain, held": ReportState.UNCERTAIN,
    "over before, held now": ReportState.UNCERTAIN,
}
WITHOUT_CALL = {
    "none pending": ReportState.BUY,
    "waiting": ReportState.PENDING,
    "due": ReportState.BUY,
    "given up": ReportState.GIVEN_UP,
    "starts over": ReportState.BUY,
    "asked for ahead of now": ReportState.BUY,
}


@pytest.mark.parametrize("wants_newer", [False, True])
@pytest.mark.parametrize(("report", "pending", "unsettled"), list(product(REPORTS, PENDING, UNSETTLED)))
def test_every_combination(report, pending, unsettled, wants_newer):
    state = decide(
        REPORTS[report],
        PENDING[pending],
        UNSETTLED[unsettled],
        POLICY,
        now=NOW,
        not_before=NOW - 10 if wants_newer else 0.0,
    )

    # A report that serves is enough; else a call stands in the way; else a wait; else nothing.
    if report == "fresh" and not wants_newer:
        assert state is ReportState.KEPT
    else:
        assert state is HELD.get(unsettled, WITHOUT_CALL[pending])


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (CreatorRecord(REPORTS["fresh"]), ReportState.KEPT),
        (CreatorRecord(unsettled=tuple(UNSETTLED["under way"])), ReportState.IN_FLIGHT),
        (CreatorRecord(unsettled=tuple(UNSETTLED["uncertain, held"])), ReportState.UNCERTAIN),
        (CreatorRecord(pending=PENDING["waiting"]), ReportState.PENDING),
        (CreatorRecord(pending=PENDING["given up"]), ReportState.GIVEN_UP),
        (CreatorRecord(), None),
    ],
)
def test_only_a_report_that_may_be_bought_has_no_obstacle(record, state):
    assert obstacle(record, POLICY, now=NOW) is state


@pytest.mark.parametrize(
    ("unsettled", "until"),
    [
        ("settled", NOW),
        ("under way", NOW + 901),
        ("uncertain before, under way now", NOW + 960),
        ("dead, held", NOW + 900),
        ("uncertain, held", NOW + 1),
    ],
)
def test_a_creator_is_held_until_its_calls_and_their_hold_are_over_whether_their_process_lives_or_not(unsettled, until):
    assert held_until(UNSETTLED[unsettled], POLICY, now=NOW) == until


def test_a_call_is_given_up_only_after_everything_that_it_may_wait_for():
    parts = {"connect_timeout": 5.0, "read_timeout": 30.0, "retry_budget": 20.0}
    whole = longest_call(**parts)

    # Its waits and tries, its connection, two read timeouts of a whole answer and the rest of one that is late.
    assert whole >= 20 + 5 + 3 * 30
    assert longest_call(**parts | {"retry_budget": 0.0}) == whole  # Without tries it waits for its turn.
    grown = {name: longest_call(**parts | {name: seconds + 1}) - whole for name, seconds in parts.items()}
    assert grown == {"connect_timeout": 1, "read_timeout": 3, "retry_budget": 1}


@pytest.mark.parametrize(("max_retries", "longest"), [(0, 300), (1, 300), (2, 600), (3, 1200)])
def test_no_pause_between_two_attempts_is_longer_than_the_longest(max_retries, longest):
    policy = replace(POLICY, max_retries=max_retries)
    pauses = [policy.asked_again_at(NOW, attempts) - NOW for attempts in range(1, 9)]

    assert policy.longest_pause == max(pauses) == longest
