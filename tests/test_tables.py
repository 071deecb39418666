"""Tables: the same numbers as CSV, which no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import re

import pytest

from tests.support import GRAPH, total_value

ANY = re.compile(rf"{GRAPH}/.*")
POST = {"id": "a", "timestamp": "2026-06-14T12:00:00+0000", "comments_count": 7}
PATHS = {
    "/top-posts?time_range=7d": "id,permalink,caption",
    "/account-insights?period=day&metrics=views": "name,period,end_time",
    "/growth-trends?period=7d": "metric,current_value,previous_value",
}


def rows_of(response):
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.get_data(as_text=True), newline="")))


@pytest.mark.parametrize(("path", "head"), PATHS.items())
@pytest.mark.parametrize("accept", ["text/csv", "text/csv, application/json;q=0.5"])
def test_a_table_is_asked_for_by_its_type(client, wire, path, head, accept):
    wire.get(ANY, json={"data": [POST]})

    response = client.get(path, headers={"Accept": accept})

    assert rows_of(response)
    assert response.get_data(as_text=True).startswith(head)
    assert "Accept" in response.headers["Vary"]


@pytest.mark.parametrize(("path", "head"), PATHS.items())
def test_a_table_is_asked_for_by_a_parameter_which_wins(client, wire, path, head):
    wire.get(ANY, json={"data": [POST]})

    response = client.get(f"{path}&format=csv", headers={"Accept": "application/json"})

    assert response.get_data(as_text=True).startswith(head)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8", "", "image/png"])
def test_without_a_wish_it_is_json(client, wire, accept):
    wire.get(ANY, json={"data": [POST]})

    response = client.get("/top-posts?time_range=7d", headers={"Accept": accept})

    assert response.headers["Content-Type"] == "application/json"


def test_an_error_is_json_even_where_a_table_was_asked_for(client):
    response = client.get("/top-posts?format=csv", headers={"Accept": "text/csv"})

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")


def test_texts_numbers_and_unknown_values_are_told_apart(client, wire):
    wire.get(ANY, json={"data": [POST | {"caption": 'one, "two"\nthr\u00e9e'}]})

    (row,) = rows_of(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == 'one, "two"\nthr\u00e9e'
    assert (row["like_count"], row["likes_hidden"], row["engagement_score"]) == ("", "true", "7")


@pytest.mark.parametrize("caption", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_text_of_a_table_is_a_formula(client, wire, caption):
    wire.get(ANY, json={"data": [POST | {"caption": caption}]})

    (row,) = rows_of(client.get("/top-posts?time_range=7d&format=csv"))

    assert row["caption"] == f"'{caption}"


def test_buckets_have_rows_of_their_own(client, wire):
    results = [(["FOLLOWER"], 7)]
    wire.get(ANY, json={"data": [total_value("views", 10, [(["follow_type"], results)])]})

    rows = rows_of(client.get("/account-insights?period=day&metrics=views&breakdown=follow_type&format=csv"))

    assert [(row["breakdown"], row["bucket"], row["value"], row["reason"]) for row in rows] == [
        ("", "", "10", ""),
        ("follow_type", "FOLLOWER", "7", ""),
        ("follow_type", "NON_FOLLOWER", "", "bucket_unknown"),
    ]


def test_a_bucket_that_is_listed_twice_is_unknown(client, wire):
    results = [(["FOLLOWER"], 7), (["FOLLOWER"], 7), (["NON_FOLLOWER"], 3)]
    wire.get(ANY, json={"data": [total_value("views", 10, [(["follow_type"], results)])]})

    rows = rows_of(client.get("/account-insights?period=day&metrics=views&breakdown=follow_type&format=csv"))

    assert [(row["bucket"], row["value"], row["reason"]) for row in rows] == [
        ("", "10", ""),
        ("FOLLOWER", "", "bucket_unknown"),
        ("NON_FOLLOWER", "3", ""),
    ]


def test_a_gap_has_a_row_with_its_reason(client, wire):
    wire.get(ANY, json={"data": []})

    (row,) = rows_of(client.get("/account-insights?period=day&metrics=views&format=csv"))

    assert (row["end_time"], row["value"], row["reason"]) == ("2026-06-15T07:00:00+0000", "", "not_answered")


def test_a_table_without_rows_has_its_head(client, wire):
    wire.get(ANY, json={"data": []})

    response = client.get("/top-posts?time_range=7d&format=csv")

    assert response.get_data(as_text=True).startswith("id,permalink,caption")
