"""`Retry-After` in each form that RFC 9110 allows, and in those that it does not."""

from __future__ import annotations

import json
import re

import pytest

from services.clients.retry_after import MAX_RETRY_AFTER, MIN_RETRY_AFTER, retry_after
from tests.support import GRAPH, MODASH, graph_error, utc

NOW = utc("2026-06-15T18:00:00").timestamp()
IN_TWO_HOURS = [
    "Mon, 15 Jun 2026 20:00:00 GMT",
    "Monday, 15-Jun-26 20:00:00 GMT",
    "Mon Jun 15 20:00:00 2026",
    "mon, 15 jun 2026 20:00:00 gmt",
    "Mon, 15 Jun 2026 22:00:00 +0200",
    " Mon, 15 Jun 2026 20:00:00 GMT ",
]
PAST = ["Mon, 15 Jun 2026 17:59:59 GMT", "Mon, 15 Jun 2026 18:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]
NEITHER = ["", "soon", "-5", "+5", "1.5", "1e3", "5s", "0x10", "\u00b2", "{}"]
NEITHER += ["Mon, 31 Feb 2026 20:00:00 GMT", "Mon, 15 Jun 99999 20:00:00 GMT", "Mon, 15 Jun 2026"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("42", 42),
        (" 42 ", 42),
        ("0042", 42),
        ("0", MIN_RETRY_AFTER),
        ("86400", 86_400),
        ("86401", MAX_RETRY_AFTER),
        ("9" * 9, MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        *((text, 7200) for text in IN_TWO_HOURS),
        *((text, MIN_RETRY_AFTER) for text in PAST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        *((text, None) for text in NEITHER),
    ],
)
def test_seconds_and_dates_are_read_within_bounds(text, seconds):
    assert retry_after({"retry-after": text}, now=NOW) == seconds


@pytest.mark.parametrize("text", [*IN_TWO_HOURS, "Mon, 15 Jun 2026 20:00:00 -0000"])
def test_a_date_means_the_same_in_the_zone_of_any_machine(in_new_york, text):
    assert retry_after({"retry-after": text}, now=NOW) == 7200


def test_a_date_is_compared_with_the_clock_of_the_provider():
    headers = {"retry-after": "Mon, 15 Jun 2026 20:00:00 GMT", "date": "Mon, 15 Jun 2026 19:59:00 GMT"}

    assert retry_after(headers, now=NOW) == 60


def test_a_part_of_a_second_is_waited_for():
    assert retry_after({"retry-after": "Mon, 15 Jun 2026 18:00:10 GMT"}, now=NOW + 0.4) == 10


def test_a_provider_without_a_readable_clock_is_taken_by_ours():
    assert retry_after({"retry-after": IN_TWO_HOURS[0], "date": "now"}, now=NOW) == 7200


@pytest.mark.parametrize(("text", "seconds"), [(IN_TWO_HOURS[0], 7200), (PAST[0], MIN_RETRY_AFTER)])
def test_instagram_is_left_alone_until_the_date(client, wire, clock, text, seconds):
    media = re.compile(rf"{GRAPH}/.*/media")
    wire.get(media, json=graph_error(4), status=403, headers={"Retry-After": text})
    wire.get(media, json={"data": []})

    refused = client.get("/top-posts?time_range=7d")
    clock.wait(seconds - 0.5)
    early = client.get("/top-posts?time_range=7d")
    clock.wait(0.5)
    answered = client.get("/top-posts?time_range=7d")

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(seconds))
    assert (early.status_code, answered.status_code) == (429, 200)


@pytest.mark.parametrize(("text", "seconds"), [(IN_TWO_HOURS[1], 7200), (PAST[0], MIN_RETRY_AFTER), ("soon", 2)])
def test_modash_is_left_alone_until_the_date(client, wire, clock, text, seconds):
    report = f"{MODASH}/v1/instagram/performance-data"
    refusal = {"error": True, "code": "rate_limit_exceeded", "message": "Too many requests"}
    wire.get(report, body=json.dumps(refusal), status=429, headers={"Retry-After": text})
    wire.get(report, json={"posts": {"total": 30}})

    refused = client.get("/performance-data?url=nasa")
    clock.wait(seconds - 0.5)
    early = client.get("/performance-data?url=nasa")
    clock.wait(0.5)
    answered = client.get("/performance-data?url=nasa")

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(seconds))
    assert (early.status_code, answered.status_code) == (429, 200)
