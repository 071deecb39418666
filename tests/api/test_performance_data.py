"""A report is handed on as it came, with what it cost, and as a table by its windows."""

from __future__ import annotations

import pytest

from tests.support import MODASH, table_rows

REPORT = f"{MODASH}/v1/instagram/performance-data"
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


def reasons(body):
    return [(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"]]


def plan(wire, report):
    wire.get(REPORT, json=report)


@pytest.mark.parametrize("path", PATHS)
def test_a_report_is_handed_on_as_it_came(client, wire, path):
    plan(wire, {"posts": POSTS, "reels": REELS})

    response = client.get(path, query_string={"url": "@NASA"})

    body = response.get_json()
    assert response.status_code == 200
    assert list(body) == ["posts", "reels", "meta"]
    assert (body["posts"], body["reels"]) == (POSTS, REELS)


def test_numbers_of_any_size_are_handed_on_exactly(client, wire):
    odd = {"followers": 2**70, "negative": -(2**64), "tiny": 1e-9, "large": 1.5e300, "third": 1 / 3, "whole": 2.0}
    plan(wire, {"posts": {**POSTS, "odd": odd}, "reels": REELS})

    response = client.get("/performance-data?url=nasa")

    assert response.status_code == 200
    found = response.get_json()["posts"]["odd"]
    assert found == odd
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in odd.items()}


def test_meta_says_whom_it_is_about_and_what_it_cost(client, wire):
    plan(wire, {"posts": POSTS, "reels": REELS})

    meta = client.get("/performance-data?url=NASA").get_json()["meta"]

    assert meta == {
        "creator": "nasa",
        "cost": {"credits": 0.25, "credits_left": None, "as_of": None},
        "price": 0.25,
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
@pytest.mark.parametrize("absence", [{}, None])
def test_a_missing_block_is_null_with_its_reason(client, wire, missing, absence):
    report = {"posts": POSTS, "reels": REELS}
    report.pop(missing)
    plan(wire, report if absence == {} else report | {missing: absence})

    body = client.get("/performance-data?url=nasa").get_json()

    assert body[missing] is None
    whole = [entry for entry in body["meta"]["unavailable"] if "." not in entry["metric"]]
    assert (missing, "not_answered") in [(entry["metric"], entry["reason"]) for entry in whole]
    assert missing not in body["meta"]["windows"]


@pytest.mark.parametrize("name", ["posts", "reels"])
@pytest.mark.parametrize("odd", [[], [{"total": 30}], "none", 0, {"last30": {"likes": 5}}])
def test_a_block_of_another_shape_stands_under_unrecognized_with_a_warning(client, wire, name, odd):
    plan(wire, {"posts": POSTS, "reels": REELS} | {name: odd})

    body = client.get("/performance-data?url=nasa").get_json()

    is_object = isinstance(odd, dict)
    assert (body["unrecognized"], body[name]) == ({name: odd}, odd if is_object else None)
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["report_unrecognized"]
    assert name in body["meta"]["warnings"][0]["message"]
    assert is_object or (name, "unreadable") in reasons(body)


@pytest.mark.parametrize(
    "odd",
    [
        5,
        [{"numberOfItems": 30, "value": 1}],
        {"p90": points((30, 1))},
        {"mean": {"30": 1}},
        {"mean": [1]},
        {"mean": points(("30", 1))},
        {"mean": points((-1, 1))},
        {"mean": points((2.5, 1))},
        {"mean": points((30, "many"))},
        {"mean": points((30, True))},
    ],
)
def test_a_statistic_of_another_shape_is_named_and_the_others_count(client, wire, odd):
    posts = POSTS | {"views": odd}
    plan(wire, {"posts": posts, "reels": REELS})

    body = client.get("/performance-data?url=nasa").get_json()

    assert (body["posts"], body["unrecognized"]) == (posts, {"posts": {"views": odd}})
    assert "posts.views" in body["meta"]["warnings"][0]["message"]
    assert ("posts.views", "unreadable") in reasons(body)
    assert body["meta"]["windows"]["posts"]["views"] == {"mean": [], "min": [], "max": [], "median": []}
    assert body["meta"]["windows"]["posts"]["likes"]["mean"] == [6, 12, 30]


def test_unknown_parts_of_a_report_are_passed_on_and_never_in_the_place_of_ours(client, wire):
    new = {"stories": {"total": 3}, "profile": {"userId": "1"}, "currency": None}
    plan(wire, {"error": False, "posts": POSTS, "reels": REELS, "meta": {"page": 1}, "status": "done"} | new)

    body = client.get("/performance-data?url=nasa").get_json()

    assert {key: body[key] for key in new} == new
    assert "error" not in body
    assert body["meta"]["creator"] == "nasa"
    assert body["unrecognized"] == {"meta": {"page": 1}, "status": "done"}


@pytest.mark.parametrize("report", [{}, {"error": False}, {"data": {"posts": POSTS}}, {"posts": [], "reels": None}])
def test_a_report_of_another_shape_is_handed_on_for_it_was_paid_for(client, wire, report):
    plan(wire, report)

    body = client.get("/performance-data?url=nasa").get_json()

    assert body["unrecognized"] == report
    assert (body["posts"], body["reels"]) == (None, None)
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["report_unrecognized"]
    assert body["meta"]["cost"]["credits"] == 0.25


def test_a_report_of_another_shape_is_logged_once(client, wire, caplog):
    plan(wire, {"data": {"posts": POSTS}})

    bodies = [client.get(f"/performance-data?url=nasa&wait={wait}").get_json() for wait in range(3)]

    assert [body["unrecognized"] for body in bodies] == [{"data": {"posts": POSTS}}] * 3
    assert len([line for line in caplog.messages if line == "Modash sent a report of another shape"]) == 1


def test_a_request_that_is_answered_from_the_store_has_spent_nothing(client, wire):
    plan(wire, {"posts": POSTS, "reels": REELS})

    first, second, third = [client.get("/performance-data?url=nasa").get_json()["meta"] for _ in range(3)]

    assert [each["cost"]["credits"] for each in (first, second, third)] == [0.25, 0, 0]
    assert {each["price"] for each in (first, second, third)} == {0.25}


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

    first = table_rows(client.get("/performance-data?url=nasa&format=csv"))[0]

    assert (first["number_of_items"], first["value"]) == (cell, cell)


def test_a_table_has_a_row_for_each_number_of_each_window(client, wire):
    plan(wire, {"posts": POSTS, "reels": REELS})

    response = client.get("/performance-data?url=nasa", headers={"Accept": "text/csv"})

    assert [tuple(row.values()) for row in table_rows(response)] == [
        ("posts", "likes", "mean", "30", "12.5"),
        ("posts", "likes", "mean", "6", "10"),
        ("posts", "likes", "mean", "12", "11"),
        ("posts", "likes", "max", "30", "99"),
        ("posts", "engagement_rate", "mean", "30", "0.035"),
        ("reels", "views", "min", "6", "5"),
    ]
