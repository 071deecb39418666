"""A report is handed on as it came, with what it cost, and as a table by its windows."""

from __future__ import annotations

import csv
import io

import pytest
import requests

from tests.support import MODASH

REPORT = f"{MODASH}/v1/instagram/performance-data"
BALANCE = f"{MODASH}/v1/user/info"
PATHS = ["/performance-data", "/api/discovery/performance-data"]


def points(*values):
    return [{"numberOfItems": number, "value": value} for number, value in values]


POSTS = {
    "total": 30,
    "posts_with_hidden_likes": 2,
    "likes": {"mean": points((30, 12.5), (6, 10), (12, 11)), "max": points((30, 99))},
    "comments": {"median": []},
    "engagement_rate": points((30, 0.035)),
    "posting_statistics": {"weekDayHour": {"mean": {"numberOfItems": 30, "value": {"monday": {"9": 1}}}}},
    "something_new": {"kept": True},
}
REELS = {"total": 0, "reels_with_hidden_likes": 0, "views": {"min": points((6, 5))}}


def plan(wire, report, balance=None, **options):
    wire.get(REPORT, json=report)
    wire.get(BALANCE, **({"json": {"billing": balance or {"credits": 99.75}}} | options))


@pytest.mark.parametrize("path", PATHS)
def test_a_report_is_handed_on_as_it_came(client, wire, path):
    plan(wire, {"posts": POSTS, "reels": REELS})

    response = client.get(path, query_string={"url": "@NASA"})

    body = response.get_json()
    assert response.status_code == 200
    assert list(body) == ["posts", "reels", "meta"]
    assert (body["posts"], body["reels"]) == (POSTS, REELS)


def test_meta_says_whom_it_is_about_and_what_it_cost(client, wire):
    plan(wire, {"posts": POSTS, "reels": REELS})

    meta = client.get("/performance-data?url=NASA").get_json()["meta"]

    assert meta == {
        "creator": "nasa",
        "cost": {"credits": 0.25, "credits_left": 99.75},
        "unavailable": meta["unavailable"],
        "substitutions": [],
        "warnings": [],
        "windows": meta["windows"],
        "source": "modash",
        "fetched_at": "2026-06-15T18:00:00Z",
        "expires_at": "2026-06-22T18:00:00Z",
        "stale": False,
    }


@pytest.mark.parametrize("missing", ["posts", "reels"])
@pytest.mark.parametrize("absence", [{}, None, [], "none"])
def test_a_missing_block_is_null_with_its_reason(client, wire, missing, absence):
    report = {"posts": POSTS, "reels": REELS}
    report.pop(missing)
    plan(wire, report if absence == {} else report | {missing: absence})

    body = client.get("/performance-data?url=nasa").get_json()

    assert body[missing] is None
    whole = [entry for entry in body["meta"]["unavailable"] if "." not in entry["metric"]]
    assert (missing, "not_answered") in [(entry["metric"], entry["reason"]) for entry in whole]
    assert missing not in body["meta"]["windows"]


@pytest.mark.parametrize("report", [{}, {"error": False}, {"data": {"posts": POSTS}}, {"posts": [], "reels": None}])
def test_a_report_of_another_shape_is_handed_on_for_it_was_paid_for(client, wire, report):
    plan(wire, report)

    body = client.get("/performance-data?url=nasa").get_json()

    assert body["unrecognized"] == report
    assert (body["posts"], body["reels"]) == (None, None)
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["report_unrecognized"]
    assert body["meta"]["cost"]["credits"] == 0.25


@pytest.mark.parametrize(
    ("balance", "left"),
    [
        ({"credits": 0}, 0),
        ({"credits": -0.25}, -0.25),
        ({"credits": "99"}, None),
        ({"credits": None}, None),
        ({"credits": True}, None),
        ({"rawRequests": 99}, None),
    ],
)
def test_the_credits_left_are_what_modash_tells_or_unknown(client, wire, balance, left):
    plan(wire, {"posts": POSTS, "reels": REELS}, balance)

    cost = client.get("/performance-data?url=nasa").get_json()["meta"]["cost"]

    assert cost == {"credits": 0.25, "credits_left": left}


@pytest.mark.parametrize(
    "balance",
    [
        {"json": {"error": True, "code": "internal_server_error"}, "status": 500},
        {"json": {"error": True, "code": "not_enough_credits"}, "status": 403},
        {"json": [1], "status": 200},
        {"json": {}, "status": 200},
        {"json": {"billing": []}, "status": 200},
        {"body": "<html>", "status": 503},
        {"body": requests.ReadTimeout("late")},
    ],
    ids=["refused", "no credits", "list", "nothing", "other type", "html", "late"],
)
def test_a_report_is_not_lost_over_its_balance(client, wire, balance):
    wire.get(REPORT, json={"posts": POSTS, "reels": REELS})
    wire.get(BALANCE, **balance)

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 200
    assert response.get_json()["meta"]["cost"]["credits_left"] is None
    assert len(wire.calls) == 2


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ([1, "=x", None, True], '[1,"=x",null,true]'),
        ({"mean": 1.5, "who": "caf\u00e9"}, '{"mean":1.5,"who":"caf\u00e9"}'),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_a_value_that_is_no_single_one_is_compact_json_in_its_cell(client, wire, value, cell):
    report = {"posts": {"likes": {"mean": [{"numberOfItems": value, "value": value}]}}, "reels": REELS}
    plan(wire, report)

    text = client.get("/performance-data?url=nasa&format=csv").get_data(as_text=True)

    first = next(csv.DictReader(io.StringIO(text)))
    assert (first["number_of_items"], first["value"]) == (cell, cell)


def test_a_table_has_a_row_for_each_number_of_each_window(client, wire):
    plan(wire, {"posts": POSTS, "reels": REELS})

    response = client.get("/performance-data?url=nasa", headers={"Accept": "text/csv"})

    rows = list(csv.DictReader(io.StringIO(response.get_data(as_text=True))))
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [tuple(row.values()) for row in rows] == [
        ("posts", "likes", "mean", "30", "12.5"),
        ("posts", "likes", "mean", "6", "10"),
        ("posts", "likes", "mean", "12", "11"),
        ("posts", "likes", "max", "30", "99"),
        ("posts", "engagement_rate", "mean", "30", "0.035"),
        ("reels", "views", "min", "6", "5"),
    ]
