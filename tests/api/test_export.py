"""GET /export: the kept history as lines that are sent as they are read."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from werkzeug.test import EnvironBuilder, run_wsgi_app

from services.export import MAX_AT_ONCE
from services.store import transfer as transfer_module
from services.store.database import DatabaseUnavailableError
from services.store.history import HistoryKey, HistoryValue
from tests.support import ACCOUNT_ID

DAYS = ("2026-06-01", "2026-06-02", "2026-06-03")


@pytest.fixture
def kept(client):
    """A client of a gateway that keeps two metrics of three days, and another account's."""
    history = client.application.extensions["services"].store.history
    for account in (ACCOUNT_ID, "17841400000000009"):
        for metric in ("reach", "views"):
            values = {HistoryKey(metric, (), day, day): HistoryValue(7, None, 1_781_000_000.0) for day in DAYS}
            history.keep(account, values)
    return client


def lines_of(response):
    assert response.status_code == 200
    return [json.loads(line) for line in response.get_data(as_text=True).splitlines()]


def test_every_line_is_one_value_of_the_account_as_the_contract_describes_it(kept):
    response = kept.get("/export")

    described = kept.get("/openapi.json").get_json()["paths"]["/export"]["get"]["responses"]["200"]["content"]
    schema = described["application/x-ndjson"]["schema"] | {"additionalProperties": False}
    lines = lines_of(response)
    assert response.content_type == "application/x-ndjson"
    assert [(line["metric"], line["date"]) for line in lines] == [(m, day) for m in ("reach", "views") for day in DAYS]
    assert {line["account"] for line in lines} == {ACCOUNT_ID}
    assert not [fault for line in lines for fault in Draft202012Validator(schema).iter_errors(line)]
    assert list(described) == ["application/x-ndjson", "text/csv"]


def test_it_can_be_limited(kept):
    lines = lines_of(kept.get("/export?metrics=views,online_followers&since=2026-06-02&until=2026-06-02"))

    assert [(line["metric"], line["date"]) for line in lines] == [("views", "2026-06-02")]


def test_a_removed_metric_gives_the_lines_of_its_successor(kept):
    assert {line["metric"] for line in lines_of(kept.get("/export?metrics=impressions"))} == {"views"}
    kept.application.extensions["services"].store.history.keep(
        ACCOUNT_ID, {HistoryKey("impressions", (), DAYS[0], DAYS[0]): HistoryValue(7, None, 1_781_000_000.0)}
    )
    assert {line["metric"] for line in lines_of(kept.get("/export?metrics=impressions"))} == {"impressions", "views"}


def test_a_name_that_is_nowhere_is_refused_with_those_that_are_accepted(kept):
    kept.application.extensions["services"].store.history.keep(
        ACCOUNT_ID, {HistoryKey("views.of-2031", (), DAYS[0], DAYS[0]): HistoryValue(7, None, 1_781_000_000.0)}
    )

    refused = kept.get("/export?metrics=views_of_2032")

    assert len(lines_of(kept.get("/export?metrics=views.of-2031"))) == 1
    assert (refused.status_code, refused.get_json()["code"]) == (400, "bad_request")
    accepted = refused.get_json()["hint"]
    assert all(name in accepted for name in ("views.of-2031", "reach", "media_count", "navigation", "saved"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("veiws", "Did you mean views?"),
        ("REACH", "Did you mean reach?"),
        ("clips_replays_count", "Meta removed clips_replays_count, and nothing that it gives now measures the same"),
    ],
)
def test_a_name_that_has_no_lines_says_what_is_wrong_with_it(kept, name, words):
    refused = kept.get(f"/export?metrics=views,{name}")

    assert (refused.status_code, refused.get_json()["code"]) == (400, "bad_request")
    assert words in refused.get_json()["message"]
    assert "clips_replays_count" not in refused.get_json()["hint"]


def test_a_removed_metric_without_a_successor_gives_the_lines_that_are_kept_of_it(kept):
    kept.application.extensions["services"].store.history.keep(
        ACCOUNT_ID, {HistoryKey("clips_replays_count", (), DAYS[0], DAYS[0]): HistoryValue(7, None, 1_781_000_000.0)}
    )

    assert [line["value"] for line in lines_of(kept.get("/export?metrics=clips_replays_count"))] == [7]


@pytest.mark.parametrize("headers", [{}, {"Accept": "text/csv"}])
def test_csv_is_a_file_for_a_spreadsheet(kept, headers):
    response = kept.get("/export" if headers else "/export?format=csv", headers=headers)

    assert response.content_type == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == f'attachment; filename="history-{ACCOUNT_ID}.csv"'
    assert response.get_data().startswith(b"\xef\xbb\xbfaccount,metric,")
    assert len(response.get_data(as_text=True).splitlines()) == 1 + 6


def test_an_export_is_sent_as_it_is_read(kept, monkeypatch):
    monkeypatch.setattr(transfer_module, "PAGE", 2)
    monkeypatch.setattr("services.export.PART", 1)
    pages = []
    read = transfer_module.Transfer._page
    monkeypatch.setattr(transfer_module.Transfer, "_page", lambda self, query: pages.append(1) or read(self, query))
    environ = kept.application.test_client()._request_from_builder_args(("/export",), {}).environ

    parts, _, headers = run_wsgi_app(kept.application.wsgi_app, environ)

    assert "Content-Length" not in headers
    assert len(next(parts).splitlines()) == 1
    assert len(pages) == 1
    assert len(list(parts)) == 6  # the other lines, and the end
    assert len(pages) > 3


def test_other_requests_have_their_turn_between_two_parts(kept, monkeypatch):
    monkeypatch.setattr(transfer_module, "PAGE", 2)
    monkeypatch.setattr("services.export.PART", 1)
    turns = kept.application.extensions["front"]._turns
    read, while_read = transfer_module.Transfer._page, []
    monkeypatch.setattr(
        transfer_module.Transfer, "_page", lambda self, query: while_read.append(turns.acquire()) or read(self, query)
    )
    environ = kept.application.test_client()._request_from_builder_args(("/export",), {}).environ

    parts, *_ = run_wsgi_app(kept.application.wsgi_app, environ)
    between = []
    for _ in parts:
        between.append(turns.acquire())
        turns.release()

    assert set(while_read) == {False}
    assert set(between) == {True}


@pytest.mark.parametrize(("method", "path"), [("GET", "/export"), ("HEAD", "/export"), ("GET", "/healthz")])
def test_a_reply_is_closed_although_its_caller_has_not_read_it_to_its_end(kept, monkeypatch, method, path):
    monkeypatch.setattr("services.export.PART", 1)
    closed = []
    make_response = kept.application.make_response

    def watched(value):
        response = make_response(value)
        response.call_on_close(lambda: closed.append(1))
        return response

    monkeypatch.setattr(kept.application, "make_response", watched)
    environ = EnvironBuilder(path, method=method).get_environ()

    parts = kept.application.wsgi_app(environ, lambda *_: None)
    next(iter(parts), None)
    getattr(parts, "close", list)()

    assert closed == [1]


def test_the_headers_come_without_the_lines(kept):
    response = kept.head("/export")

    assert (response.status_code, response.get_data()) == (200, b"")
    assert response.headers["Cache-Control"] == "no-store"
    assert "Accept" in response.headers["Vary"].split(", ")


def test_more_exports_than_there_are_places_for_are_refused_until_one_ends(kept):
    export = kept.application.extensions["services"].export
    assert [kept.get("/export").status_code for _ in range(MAX_AT_ONCE + 1)] == [200] * (MAX_AT_ONCE + 1)
    assert [kept.head("/export").status_code for _ in range(MAX_AT_ONCE + 1)] == [200] * (MAX_AT_ONCE + 1)
    held = [export.of(format_="ndjson").parts for _ in range(MAX_AT_ONCE)]

    response = kept.get("/export")

    assert (response.status_code, response.get_json()["code"]) == (503, "busy")
    held[0].close()
    held.clear()
    assert kept.get("/export").status_code == 200


def test_without_the_database_the_reply_says_so(kept, monkeypatch):
    def unavailable(*_):
        raise DatabaseUnavailableError("no answer")

    monkeypatch.setattr(transfer_module.Transfer, "_page", unavailable)

    response = kept.get("/export")

    assert (response.status_code, response.get_json()["code"]) == (503, "busy")
    assert response.headers["Retry-After"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("format=xml", "format"),
        ("metrics=a;b", "metrics"),
        ("metrics=,", "metrics"),
        ("metrics=views,nope,%C3%BF", "metrics"),
        ("metrics=views,nope", "'nope' is not kept, and cannot be."),
        ("since=2026-06-03&until=2026-06-02", "since"),
        ("acount=1", "account"),
    ],
)
def test_a_wrong_parameter_is_refused(kept, query, words):
    response = kept.get(f"/export?{query}")

    assert response.status_code == 400
    assert words in response.get_json()["message"]
