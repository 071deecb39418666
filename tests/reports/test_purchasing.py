"""A report that was paid for is kept: answered fresh, then stale, listed, and found by whatever names its creator."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import requests

from services import request_context
from services.caller import ANONYMOUS
from services.clock import Clock
from services.reports import purchasing, recent, renewals, report_answers
from services.reports.price import PRICE
from services.reports.report import identity, missing, windows_of
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.ledger import Ledger
from services.store.reports import KeptReport, NewReport, Reports
from tests.stores import query
from tests.support import ACCOUNT_ID, MODASH, MODASH_KEY, NoConnections, settings, table_rows

REPORT = f"{MODASH}/v1/instagram/performance-data"
LATER = {"error": True, "code": "retry_later", "message": "Wait."}
DAY = 86_400
OPEN = "SELECT count(*) FROM ledger WHERE state = 'open'"


def points(*sizes):
    return [{"numberOfItems": size, "value": size / 2} for size in sizes]


def block(*sizes, total=30):
    statistic = {measure: points(*sizes) for measure in ("mean", "min", "max", "median")}
    return {
        "total": total,
        "likes": statistic,
        "comments": statistic,
        "views": statistic,
        "engagement_rate": points(*sizes),
    }


WHOLE = {"posts": block(30, 6, 12), "reels": block(6, 12, 30)}
NEWER = {"posts": block(6, total=6), "reels": None}


@pytest.fixture
def modash(wire):
    """Plan what Modash answers from now on, and count how often it was asked for a report."""

    class Planned:
        def answers(self, body, status=200):
            wire.remove("GET", REPORT)
            wire.get(REPORT, json=body, status=status)

        @contextmanager
        def held(self, body, status=200):
            """Answer a report only after the end of the block."""
            released = threading.Event()

            def answer(_request):
                assert released.wait(20)
                return status, {}, json.dumps(body)

            wire.remove("GET", REPORT)
            wire.add_callback("GET", REPORT, answer)
            try:
                yield
            finally:
                released.set()

        @property
        def asked(self):
            return len([call for call in wire.calls if call.request.url.startswith(REPORT)])

    wire.assert_all_requests_are_fired = False
    planned = Planned()
    planned.answers(WHOLE)
    return planned


def get(client, path="", **query):
    return client.get(f"/performance-data{path}", query_string={"url": "nasa"} | query)


class UnavailableDatabase:
    """A database of which every read fails."""

    def read(self):
        raise DatabaseUnavailableError("gateway", "it is away")


class WatchedEvent(threading.Event):
    """`is_waited_for` is set as soon as a thread waits for the event."""

    def __init__(self):
        super().__init__()
        self.is_waited_for = threading.Event()

    def wait(self, timeout=None):
        self.is_waited_for.set()
        return super().wait(timeout)


def settle(client):
    assert client.application.extensions["services"].wait_until_quiet(20)


# A call that waits


@contextmanager
def calls_that_wait_for_the_only_place(client, wire, store_settings, creator):
    """Buy one report whose answer comes at the end of the block, and begin to buy that of `creator` behind it."""
    released, replies = threading.Event(), []

    def answer(_request):
        released.wait(60)
        return 200, {}, json.dumps(WHOLE)

    wire.remove("GET", REPORT)
    wire.add_callback("GET", REPORT, answer)
    threads = []
    for number, each in enumerate(("esa", creator), 1):
        threads.append(threading.Thread(target=lambda each=each: replies.append(get(client, url=each))))
        threads[-1].start()
        deadline = time.monotonic() + 30
        while query(store_settings, "gateway", OPEN) != [(number,)]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    wire.remove("GET", REPORT)
    wire.get(REPORT, json=WHOLE)
    try:
        yield replies
    finally:
        released.set()
        for thread in threads:
            thread.join(60)


def test_a_call_that_has_waited_until_another_process_may_buy_is_not_made(make_client, clock, modash, wire):
    config = settings(provider_parallel=1, request_deadline=600.0, uncertain_charge_hold=1, modash_rate=1000.0)
    store_settings = {"INSTANCE_PATH": config.instance_path}
    ours, theirs = (make_client(config, clock=clock) for _ in range(2))

    with calls_that_wait_for_the_only_place(ours, wire, store_settings, "nasa") as replies:
        clock.wait(200)
        bought = get(theirs)
    late = [reply for reply in replies if reply.status_code != 200]

    assert bought.status_code == 200
    calls = [call.request.url.partition("=")[2] for call in wire.calls]
    assert sorted(calls) == ["esa", "nasa"]
    assert query(store_settings, "gateway", "SELECT creator, state FROM ledger ORDER BY creator") == [
        ("esa", "charged"),
        ("nasa", "charged"),
    ]
    assert [reply.get_json()["code"] for reply in late] == ["deadline_exceeded"]
    assert "waited for its turn for too long" in late[0].get_json()["message"]


# Fresh, stale, renewed


def test_an_expired_report_is_answered_at_once_while_one_new_one_is_bought(make_client, clock, modash):
    client = make_client(settings(performance_ttl=2 * DAY), clock=clock)
    first = get(client).get_json()
    clock.wait(2 * DAY + 1)

    with modash.held(WHOLE | {"posts": block(6, total=6)}):
        stale = [get(client, format=format_).status_code for format_ in ("json", "csv")] + [get(client)]
    settle(client)
    clock.wait(2)
    renewed = get(client).get_json()

    body = stale.pop().get_json()
    assert stale == [200, 200]
    assert (body["meta"]["stale"], body["posts"]) == (True, first["posts"])
    assert (renewed["meta"]["stale"], renewed["posts"]["total"]) == (False, 6)
    assert modash.asked == 2


def test_where_the_system_has_no_thread_left_the_kept_report_is_answered_and_renewed_later(
    make_client, clock, modash, no_thread
):
    client = make_client(settings(performance_ttl=2 * DAY), clock=clock)
    get(client)
    clock.wait(2 * DAY + 1)

    with no_thread():
        reply = get(client)
    assert (reply.status_code, reply.get_json()["meta"]["stale"], modash.asked) == (200, True, 1)

    clock.wait(2)
    get(client)
    settle(client)
    assert modash.asked == 2


def test_a_report_is_renewed_by_the_name_that_the_caller_gave(make_client, clock, modash, wire):
    client = make_client(settings(performance_ttl=2 * DAY), clock=clock)
    modash.answers(WHOLE | {"profile": {"userId": "528817151", "username": "nasa"}})
    get(client, url="528817151")
    clock.wait(2 * DAY + 1)

    get(client, url="528817151")
    settle(client)

    assert [call.request.url.partition("=")[2] for call in wire.calls] == ["528817151"] * 2


def test_a_renewal_that_failed_is_not_begun_again_within_moments(make_client, clock, modash):
    client = make_client(settings(performance_ttl=2 * DAY), clock=clock)
    get(client)
    clock.wait(2 * DAY + 1)
    modash.answers({"error": True, "code": "internal_server_error"}, status=500)

    asked = []
    for _ in range(4):
        get(client)
        settle(client)
        asked.append(modash.asked)
        clock.wait(1.4)

    assert asked == [2, 2, 2, 3]


def test_a_renewal_that_failed_is_begun_again_by_no_other_gateway_within_moments(make_client, clock, modash):
    config = settings(performance_ttl=2 * DAY)
    first, other = make_client(config, clock=clock), make_client(config, clock=clock)
    other.application.extensions["services"].heartbeat.stop(timeout=10)  # It learns of no change by itself.
    get(first)
    clock.wait(2 * DAY + 1)
    assert get(other, dry_run="true").get_json()["outcome"] == "ask"
    modash.answers({"error": True, "code": "internal_server_error"}, status=500)

    for client in (first, other):
        assert get(client).get_json()["meta"]["stale"] is True
        settle(client)

    assert modash.asked == 2


def test_a_renewal_is_background_work_which_delays_no_first_report(make_client, clock, modash, wire):
    client = make_client(settings(performance_ttl=2 * DAY), clock=clock)
    is_background = []

    def answer(_request):
        is_background.append(request_context.current.get().is_background)
        return 200, {}, json.dumps(WHOLE)

    wire.remove("GET", REPORT)
    wire.add_callback("GET", REPORT, answer)
    get(client)
    clock.wait(2 * DAY + 1)
    get(client)
    settle(client)

    assert is_background == [False, True]


def test_a_creator_has_one_renewal_at_a_time(clock):
    may_end, bought = threading.Event(), []
    purchases = SimpleNamespace(buy=lambda name, **_: bought.append(name) or may_end.wait(20))
    failures = SimpleNamespace(since=lambda _name: None, latest=lambda _name: None)
    service = renewals.ReportRenewals(purchases, failures, clock)

    for name in ("nasa", "nasa", "esa"):
        service.start(name, asked=name, caller=ANONYMOUS)
    may_end.set()

    assert service.wait_until_quiet(20)
    service.close()
    assert sorted(bought) == ["esa", "nasa"]


def test_no_more_renewals_begin_than_there_is_room_for(make_client, clock, modash, monkeypatch):
    monkeypatch.setattr(renewals, "MAX_RENEWALS", 1)
    client = make_client(settings(performance_ttl=2 * DAY), clock=clock)
    creators = ("nasa", "esa")
    for creator in creators:
        get(client, url=creator)
    clock.wait(2 * DAY + 1)

    with modash.held(WHOLE):
        for creator in creators:
            get(client, url=creator)
    settle(client)
    at_first = modash.asked
    clock.wait(2)
    for creator in creators:
        get(client, url=creator)
    settle(client)

    assert (at_first, modash.asked) == (3, 4)


def test_a_report_outlives_the_memory_and_the_process(make_client, clock, modash):
    config = settings()
    get(make_client(config, clock=clock))
    services = make_client(config, clock=clock).application.extensions["services"]
    services.cache.forget("modash")

    again = get(make_client(config, clock=clock))

    assert again.status_code == 200
    assert modash.asked == 1


@pytest.mark.parametrize(
    "spelling",
    ["NASA", "@nasa", " nasa ", "instagram.com/Nasa", "https://www.instagram.com/nasa/?hl=en", "m.instagram.com/nasa"],
)
def test_however_a_creator_is_named_there_is_one_report(client, modash, spelling):
    get(client)

    assert get(client, url=spelling).status_code == 200
    assert modash.asked == 1


def test_an_id_is_the_handle_once_a_report_has_both(client, clock, modash):
    modash.answers(WHOLE | {"profile": {"userId": "528817151", "username": "NASA"}})

    by_id = get(client, url="528817151").get_json()
    by_handle = get(client, url="nasa").get_json()
    again = get(client, url="528817151", format="json").get_json()

    assert modash.asked == 1
    assert [each["meta"]["creator"] for each in (by_handle, again)] == ["nasa", "nasa"]
    assert by_id["posts"] == by_handle["posts"]


def test_a_report_that_names_another_handle_is_that_of_the_one_that_was_requested(client, modash):
    modash.answers(WHOLE | {"profile": {"userId": "12345", "username": "nasa_of_old"}})

    bodies = [get(client).get_json() for _ in range(2)]

    assert [each["meta"]["cost"]["credits"] for each in bodies] == [0.25, 0]
    assert [each["meta"]["creator"] for each in bodies] == ["nasa", "nasa"]
    assert modash.asked == 1


def test_modash_is_asked_by_the_name_that_the_caller_gave(client, clock, modash, wire):
    modash.answers(WHOLE | {"profile": {"userId": "528817151", "username": "nasa"}})
    get(client, url="528817151")
    clock.wait(10)

    get(client, url="528817151", refresh="true")

    assert ["url=528817151" in call.request.url for call in wire.calls] == [True, True]


def test_a_report_from_before_the_handle_of_an_id_was_known_is_in_the_history_of_the_handle(client, clock, modash):
    get(client, url="528817151")
    clock.wait(10)
    modash.answers(WHOLE | {"profile": {"userId": "528817151", "username": "nasa"}})
    get(client, url="528817151", refresh="true")

    found = [get(client, "/history", url=creator).get_json()["reports"] for creator in ("nasa", "528817151")]

    assert [len(reports) for reports in found] == [2, 2]


def test_a_handle_that_becomes_known_while_an_id_is_bought_is_what_is_bought(client, clock, modash, monkeypatch):
    modash.answers(WHOLE | {"profile": {"userId": "528817151", "username": "nasa"}})
    get(client)
    clock.wait(10)
    handle_of, open_ = Reports.handle_of, Ledger.open
    is_known = threading.Event()

    def opened(ledger, *arguments):
        is_known.set()
        return open_(ledger, *arguments)

    monkeypatch.setattr(Reports, "handle_of", lambda *names: handle_of(*names) if is_known.is_set() else None)
    monkeypatch.setattr(Ledger, "open", opened)

    reply = get(client, url="528817151", refresh="true").get_json()

    assert (modash.asked, reply["meta"]["cost"]["credits"], reply["meta"]["stale"]) == (2, 0.25, False)


def test_an_id_that_two_gateways_buy_at_once_is_paid_for_once(make_client, modash):
    config = settings()
    clients = [make_client(config) for _ in range(2)]

    with ThreadPoolExecutor() as executor:
        with modash.held(WHOLE | {"profile": {"userId": "528817151", "username": "nasa"}}):
            first = executor.submit(get, clients[0], url="528817151")
            while query({"INSTANCE_PATH": config.instance_path}, "gateway", OPEN) != [(1,)]:
                time.sleep(0.01)
            second = executor.submit(get, clients[1], url="528817151")
            time.sleep(0.3)
        bodies = [each.result().get_json() for each in (first, second)]

    assert [each["meta"]["cost"]["credits"] for each in bodies] == [0.25, 0]
    assert [each["meta"]["creator"] for each in bodies] == ["nasa", "nasa"]
    assert modash.asked == 1


@pytest.mark.parametrize("has_failed_before", [False, True])
def test_the_failure_of_another_gateway_answers_who_waited_for_its_call(make_client, modash, has_failed_before):
    waits = threading.Event()

    class WatchedClock(Clock):
        def wait(self, seconds):
            waits.set()
            super().wait(seconds)

    config = settings()
    buyer, other = make_client(config), make_client(config, clock=WatchedClock())
    modash.answers({"error": True, "code": "handle_not_found"}, status=404)
    earlier = [get(other).status_code] if has_failed_before else []

    with ThreadPoolExecutor() as executor:
        with modash.held({"error": True, "code": "internal_server_error"}, status=500):
            first = executor.submit(get, buyer, refresh="true")
            while query({"INSTANCE_PATH": config.instance_path}, "gateway", OPEN) != [(1,)]:
                time.sleep(0.01)
            second = executor.submit(get, other, refresh="true")
            assert waits.wait(20)
        replies = [each.result() for each in (first, second)]

    assert earlier in ([], [404])
    assert [reply.headers["X-Provider-Calls"] for reply in replies] == ["1", "0"]
    assert len({reply.get_json()["code"] for reply in replies}) == 1
    assert modash.asked == 1 + len(earlier)


def test_the_failure_of_a_call_answers_another_request_that_waited_for_it(client, modash, monkeypatch):
    is_over = WatchedEvent()
    in_progress = purchasing.PurchaseInProgress()
    in_progress.is_over = is_over
    monkeypatch.setattr(purchasing, "PurchaseInProgress", lambda: in_progress)

    with ThreadPoolExecutor() as executor:
        with modash.held({"error": True, "code": "internal_server_error"}, status=500):
            replies = [executor.submit(get, client) for _ in range(2)]
            assert is_over.is_waited_for.wait(20)
        codes = [reply.result().get_json()["code"] for reply in replies]

    assert codes == ["provider_unavailable"] * 2
    assert modash.asked == 1


def test_what_another_request_did_not_buy_may_be_what_another_gateway_is_buying(make_client, modash):
    polled = threading.Event()

    class WatchedClock(Clock):
        def wait(self, seconds):
            polled.set()
            super().wait(seconds)

    config = settings()
    buyer, other = make_client(config), make_client(config, clock=WatchedClock())
    in_progress = other.application.extensions["services"].follow_up._purchasing._in_progress
    in_vain = in_progress["nasa"] = purchasing.PurchaseInProgress()
    in_vain.is_over = WatchedEvent()

    with ThreadPoolExecutor() as executor:
        with modash.held(WHOLE):
            first, second = executor.submit(get, buyer), executor.submit(get, other)
            assert in_vain.is_over.is_waited_for.wait(20)
            while query({"INSTANCE_PATH": config.instance_path}, "gateway", OPEN) != [(1,)]:
                time.sleep(0.01)
            del in_progress["nasa"]
            in_vain.is_over.set()
            polled.wait(20)
        replies = [each.result() for each in (first, second)]

    assert [(reply.status_code, reply.headers["X-Provider-Calls"]) for reply in replies] == [(200, "1"), (200, "0")]
    assert modash.asked == 1


def test_the_deadline_of_a_request_ends_no_other_one_for_the_same_creator(make_client, modash):
    config = settings(provider_parallel=1, request_deadline=5)
    client = make_client(config)

    with ThreadPoolExecutor() as executor:
        with modash.held(WHOLE):
            executor.submit(get, client, url="in_the_way")
            while query({"INSTANCE_PATH": config.instance_path}, "gateway", OPEN) != [(1,)]:
                time.sleep(0.01)
            first = executor.submit(get, client)
            time.sleep(2.5)
            second = executor.submit(get, client)
            late = first.result()
            time.sleep(0.1)
        in_time = second.result()

    assert (late.status_code, late.get_json()["code"]) == (504, "deadline_exceeded")
    assert in_time.status_code == 200, in_time.get_json()
    assert modash.asked == 2
    services = client.application.extensions["services"]
    assert services.follow_up._purchasing._failures.latest("nasa") is None  # It ends no wait of another process either.


def test_a_call_that_a_gateway_at_its_end_lets_not_pass_leaves_no_row_in_the_ledger(make_client, modash):
    config = settings()
    client = make_client(config)
    client.application.extensions["services"].guards["modash"].close()

    reply = get(client)

    assert (reply.status_code, reply.get_json()["code"], modash.asked) == (503, "busy", 0)
    assert query({"INSTANCE_PATH": config.instance_path}, "gateway", "SELECT * FROM ledger") == []


def test_a_call_that_a_gateway_at_its_end_lets_not_pass_goes_on_waiting_for_the_report(
    make_client, clock, modash, monkeypatch
):
    client = make_client(settings(), clock=clock)
    modash.answers(LATER)
    get(client)
    clock.wait(3600)
    services = client.application.extensions["services"]

    def refuses(_opened):
        raise StatementRefusedError("odd")

    monkeypatch.setattr(services.store.ledger, "forget", refuses)
    services.guards["modash"].close()

    get(client)

    assert services.store.ledger.record("modash", "nasa").pending.attempts == 2
    assert modash.asked == 1


def test_a_report_whose_creator_cannot_be_read_is_kept_and_answered(client, modash, monkeypatch, caplog):
    def fails(_body):
        raise ValueError("odd")

    monkeypatch.setattr(purchasing, "identity", fails)

    replies = [get(client), get(client)]

    assert [reply.status_code for reply in replies] == [200, 200]
    assert modash.asked == 1
    assert "A report that was paid for could not be read; it is kept as it is" in caplog.messages


def test_refresh_buys_a_new_report_and_keeps_the_old_one(client, clock, modash):
    get(client)
    clock.wait(10)

    renewed = get(client, refresh="true")

    assert renewed.get_json()["meta"]["fetched_at"] == "2026-06-15T18:00:10Z"
    assert "fwd=request" in renewed.headers["Cache-Status"]
    assert modash.asked == 2
    assert len(get(client, "/history").get_json()["reports"]) == 2


def test_where_a_refresh_brings_no_new_report_the_kept_one_is_stale(client, clock, modash):
    get(client)
    clock.wait(10)
    modash.answers({"error": True, "code": "internal_server_error"}, status=500)

    refreshed = get(client, refresh="true")
    clock.wait(10)
    again = get(client)

    assert [(reply.status_code, reply.get_json()["meta"]["stale"]) for reply in (refreshed, again)] == [
        (200, True),
        (200, False),
    ]


def test_a_dry_run_of_a_refresh_has_the_price_of_a_new_report(client, clock, modash):
    get(client)
    clock.wait(10)

    body = get(client, refresh="true", dry_run="true").get_json()

    assert (body["outcome"], body["credits"], modash.asked) == ("ask", 0.25, 1)


def test_a_refresh_buys_a_new_report_also_where_a_call_before_the_last_report_never_came_back(
    make_client, clock, modash, wire
):
    client = make_client(settings(uncertain_charge_hold=60), clock=clock)
    wire.replace("GET", REPORT, body=requests.ReadTimeout("late"))
    late = get(client)
    clock.wait(61)
    modash.answers(WHOLE)
    get(client)
    clock.wait(10)

    refreshed = get(client, refresh="true")

    assert (late.status_code, modash.asked) == (504, 3)
    assert refreshed.get_json()["meta"]["cost"]["credits"] == 0.25


def test_a_refresh_asks_again_for_a_creator_who_did_not_exist_and_no_other_request_does(client, clock, modash):
    modash.answers({"error": True, "code": "handle_not_found"}, status=404)
    get(client)
    modash.answers(WHOLE)
    clock.wait(10)

    replies = [get(client, **more).status_code for more in ({}, {"refresh": "true"}, {})]

    assert (replies, modash.asked) == ([404, 200, 200], 2)


def test_a_creator_whom_another_gateway_did_not_find_is_not_asked_for_again(make_client, modash):
    config = settings()
    first, other = make_client(config), make_client(config)
    other.application.extensions["services"].heartbeat.stop(timeout=10)  # It learns of no change by itself.
    modash.answers({"error": True, "code": "handle_not_found"}, status=404)
    assert get(other, dry_run="true").get_json()["outcome"] == "ask"

    replies = [get(first), get(other)]

    assert [reply.status_code for reply in replies] == [404, 404]
    assert [reply.headers["X-Provider-Calls"] for reply in replies] == ["1", "0"]
    assert get(other, dry_run="true").get_json()["outcome"] == "unknown"
    assert modash.asked == 1


def test_callers_who_refresh_at_once_pay_once(make_client, modash):
    config = settings()
    clients = [make_client(config) for _ in range(2)]
    get(clients[0])

    with ThreadPoolExecutor() as executor:
        with modash.held(WHOLE):
            refreshed = [executor.submit(get, clients[0], refresh="true")]
            while query({"INSTANCE_PATH": config.instance_path}, "gateway", OPEN) != [(1,)]:
                time.sleep(0.01)
            refreshed += [executor.submit(get, client, refresh="true") for client in clients]
            time.sleep(0.3)
        metas = [each.result().get_json()["meta"] for each in refreshed]

    assert [meta["cost"]["credits"] for meta in metas] == [0.25, 0, 0]
    assert {meta["stale"] for meta in metas} == {False}
    assert len({meta["fetched_at"] for meta in metas}) == 1
    assert modash.asked == 2


def test_a_key_in_a_report_is_kept_nowhere(client, modash):
    modash.answers({"posts": {"total": 1, "note": f"key {MODASH_KEY}"}})

    get(client)

    assert "[redacted]" in get(client, "/history").get_data(as_text=True)


# Windows


def test_windows_are_named_by_their_number_of_items(client, modash):
    modash.answers({"posts": block(30, 6), "reels": block(8, 6, total=8)})

    meta = get(client).get_json()["meta"]

    assert meta["windows"]["posts"]["likes"]["median"] == [6, 30]
    assert meta["windows"]["reels"]["engagement_rate"]["mean"] == [6, 8]
    reasons = {entry["metric"]: entry["reason"] for entry in meta["unavailable"]}
    assert (reasons["posts.likes"], reasons["reels.views"]) == ("window_missing", "few_items")
    assert len(reasons) == 8


def test_a_whole_report_lacks_nothing():
    assert list(missing(WHOLE)) == []
    assert windows_of(WHOLE)["posts"]["likes"]["mean"] == [6, 12, 30]


def test_no_posts_at_all_is_one_entry():
    assert [entry["reason"] for entry in missing({"posts": block(6, 12, 30), "reels": {"total": 0}})] == ["few_items"]


def test_a_report_of_another_shape_is_logged_once_as_soon_as_it_has_a_number(client, caplog):
    shown = client.application.extensions["services"].performance_data._answers.shown
    for number in (0, 0, 7, 7):
        shown(KeptReport(number, {"something": "else"}, 1.0, 250, None))

    assert len([record for record in caplog.records if record.message.endswith("of another shape")]) == 3


def test_so_many_reports_of_another_shape_are_remembered_as_there_is_room_for(client, caplog, monkeypatch):
    monkeypatch.setattr(report_answers, "MOST_LOGGED", 2)
    shown = client.application.extensions["services"].performance_data._answers.shown
    for number in (1, 2, 1, 2, 3, 1):
        shown(KeptReport(number, {"something": "else"}, 1.0, 250, None))

    assert len([record for record in caplog.records if record.message.endswith("of another shape")]) == 4


@pytest.mark.parametrize(
    "odd", [None, 7, "x", [], [1], [{"numberOfItems": [6]}], [{"numberOfItems": True}], {"mean": 1}]
)
def test_odd_statistics_have_no_window(odd):
    told = windows_of({"posts": {"likes": odd, "comments": {"mean": odd}, "engagement_rate": odd}})["posts"]

    assert {size for measures in told.values() for sizes in measures.values() for size in sizes} == set()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"userId": 12345, "username": "Nasa"}, ("12345", "nasa")),
        ({"profile": {"id": "12345", "handle": "777"}}, ("12345", "@777")),
        ({"userId": "12345"}, (None, None)),
        ({"userId": "x", "username": "nasa"}, (None, None)),
        ({"userId": "1", "username": "two words"}, (None, None)),
        ({"profile": [1]}, (None, None)),
    ],
)
def test_who_a_report_is_about_is_believed_where_it_has_both_names(body, told):
    assert identity(body) == told


# History


def test_the_history_lists_every_report_the_newest_first(make_client, clock, modash):
    client = make_client(settings(performance_ttl=60), clock=clock)
    for total in (1, 2, 3):
        modash.answers({"posts": block(6, total=total), "reels": None} if total != 2 else {"odd": "shape"})
        get(client)
        settle(client)
        clock.wait(100)

    body = get(client, "/history", limit="2").get_json()
    everything = get(client, "/history").get_json()["reports"]
    table = table_rows(get(client, "/history", format="csv"))

    assert [each["fetched_at"] for each in body["reports"]] == ["2026-06-15T18:03:20Z", "2026-06-15T18:01:40Z"]
    assert everything[1]["unrecognized"] == {"odd": "shape"}
    assert [each["cost"]["credits"] for each in everything] == [0.25] * 3
    assert table[0]["fetched_at"] == "2026-06-15T18:03:20Z"
    assert modash.asked == 3


def test_a_history_without_a_report_is_empty_and_makes_no_call(client, modash):
    response = get(client, "/history")

    assert response.get_json()["reports"] == []
    assert response.headers["Cache-Control"] == "no-store"
    assert modash.asked == 0


@pytest.mark.parametrize("limit", ["0", "101", "x"])
def test_the_history_is_bounded(client, limit):
    assert get(client, "/history", limit=limit).status_code == 400


# Not ready


def test_a_refresh_that_finds_the_report_in_the_making_spends_nothing(client, clock, modash):
    kept = get(client).get_json()
    clock.wait(60)
    modash.answers(LATER)

    again = get(client, refresh="true").get_json()
    assert (kept["meta"]["cost"]["credits"], again["meta"]["cost"]["credits"]) == (0.25, 0)
    assert again["posts"] == kept["posts"]
    assert modash.asked == 2


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [({"status": 429, "json": {"error": True}}, 2), ({"body": requests.ReadTimeout("late")}, None)],
    ids=["costs nothing", "may have been charged"],
)
@pytest.mark.usefixtures("modash")
def test_a_call_that_may_have_been_charged_ends_the_wait_for_a_report(client, clock, wire, answer, attempts):
    wire.replace("GET", REPORT, json=LATER)
    get(client)
    clock.wait(3600)

    wire.replace("GET", REPORT, **answer)
    get(client)

    ledger = client.application.extensions["services"].store.ledger
    pending = ledger.record("modash", "nasa").pending
    assert (None if pending is None else pending.attempts) == attempts


def test_while_a_report_is_made_no_call_is_made_before_it_is_time(client, clock, modash):
    modash.answers(LATER, status=400)
    waits = []
    for wait in (0, 100, 201, 599, 1):
        clock.wait(wait)
        response = get(client)
        waits.append((response.status_code, int(response.headers["Retry-After"]), modash.asked))

    assert waits == [(202, 300, 1), (202, 200, 1), (202, 600, 2), (202, 1, 2), (202, 1200, 3)]


@pytest.mark.parametrize("later", [0.4, 0.6])
def test_the_wait_is_rounded_up_so_that_the_next_request_does_not_come_too_early(client, clock, modash, later):
    modash.answers(LATER, status=400)
    get(client)
    clock.wait(later)

    clock.wait(int(get(client).headers["Retry-After"]))
    get(client)

    assert modash.asked == 2


def test_after_the_last_try_it_is_not_ready_and_a_later_caller_begins_again(make_client, clock, modash):
    client = make_client(settings(report_retry_after=10, modash_max_retries=1), clock=clock)
    modash.answers(LATER, status=400)
    outcomes = []
    for wait in (0, 10, 9, 1):
        clock.wait(wait)
        response = get(client)
        outcomes.append((response.status_code, response.get_json().get("code"), response.headers["Retry-After"]))

    assert outcomes == [
        (202, None, "10"),
        (503, "report_not_ready", "10"),
        (503, "report_not_ready", "1"),
        (202, None, "10"),
    ]
    assert modash.asked == 3


def test_who_waits_gets_the_report_when_it_comes(make_client, clock, modash):
    client = make_client(settings(report_retry_after=5), clock=clock)
    modash.answers(LATER, status=400)
    get(client)
    modash.answers(WHOLE)

    before = len(clock.waits)
    short, waited = get(client, wait="3"), len(clock.waits) - before
    response = get(client, wait="25")

    assert (short.status_code, waited) == (202, 0)  # The next attempt does not fall within 3 seconds.
    assert response.status_code == 200
    assert modash.asked == 2


@pytest.mark.parametrize("wait", ["-1", "26", "soon"])
def test_no_caller_waits_without_end(client, wait):
    assert get(client, wait=wait).status_code == 400


def follow_up(client):
    return client.application.extensions["services"].follow_up.attempt("nasa")


def test_a_report_that_is_being_made_is_asked_for_again_until_it_comes(make_client, clock, modash):
    client = make_client(settings(report_retry_after=10), clock=clock)
    began = clock.now().timestamp()
    modash.answers(LATER, status=400)
    get(client)
    too_early = follow_up(client) - began
    clock.wait(10)
    not_yet = follow_up(client) - began
    clock.wait(20)
    modash.answers(WHOLE)
    over = follow_up(client)

    assert (too_early, not_yet, over) == (10, 30, None)
    assert get(client).status_code == 200
    assert modash.asked == 3


@pytest.mark.parametrize(
    ("answer", "status"),
    [({"error": True, "code": "handle_not_found"}, 404), ({"no": "refusal"}, 503), (LATER, 400)],
)
def test_a_follow_up_ends_with_no_creator_an_uncertain_call_or_the_last_try(make_client, clock, modash, answer, status):
    client = make_client(settings(report_retry_after=10, modash_max_retries=1), clock=clock)
    modash.answers(LATER, status=400)
    get(client)
    clock.wait(10)
    modash.answers(answer, status=status)

    over = follow_up(client)

    assert over is None
    assert get(client).status_code in (404, 503)
    assert modash.asked == 2


def test_a_creator_that_does_not_exist_ends_the_wait_for_its_report(make_client, clock, modash):
    client = make_client(settings(report_retry_after=10, modash_max_retries=2), clock=clock)
    modash.answers(LATER, status=400)
    get(client)
    clock.wait(10)
    modash.answers({"error": True, "code": "handle_not_found"}, status=404)
    assert get(client).status_code == 404

    clock.wait(3600)
    modash.answers(LATER, status=400)

    # The first attempt of a new wait. As the third one of the old wait it would be the last.
    assert get(client).status_code == 202


# Dry runs


def test_a_dry_run_returns_the_price_and_makes_no_call(make_client, clock, modash):
    client = make_client(settings(modash_credit_limit=0.4), clock=clock)
    absent = get(client, dry_run="true")
    get(client)
    kept, limit = get(client, dry_run="true"), get(client, url="esa", dry_run="true")

    told = [
        (each.get_json()["would_call"], each.get_json()["credits"], each.get_json()["outcome"])
        for each in (absent, kept, limit)
    ]
    assert told == [(True, 0.25, "ask"), (False, 0, "kept"), (False, 0, "limit")]
    assert absent.headers["Cache-Control"] == "no-store"
    assert modash.asked == 1


@pytest.mark.parametrize(("limit", "outcome"), [(0.5, "ask"), (0.499, "limit")])
def test_a_dry_run_knows_whether_the_last_credits_of_the_month_are_enough(make_client, clock, modash, limit, outcome):
    client = make_client(settings(modash_credit_limit=limit), clock=clock)
    get(client)

    assert get(client, url="esa", dry_run="true").get_json()["outcome"] == outcome


def test_without_the_database_the_reports_that_were_seen_last_are_answered(make_client, clock, modash, monkeypatch):
    monkeypatch.setattr(purchasing, "SEEN_AT_MOST", 2)
    client = make_client(settings(), clock=clock)
    for creator in ("nasa", "esa", "nasa", "jaxa"):
        get(client, url=creator, format="json" if creator == "nasa" else "csv")
    services = client.application.extensions["services"]
    services.cache.announce_change("modash")
    monkeypatch.setattr(services.store.ledger._database, "_connections", NoConnections())

    found = {creator: get(client, url=creator).status_code for creator in ("nasa", "esa", "jaxa")}

    assert found == {"nasa": 200, "esa": 503, "jaxa": 200}


def test_a_report_that_only_a_refresh_has_read_is_answered_without_the_database(make_client, modash, monkeypatch):
    config = settings()
    get(make_client(config))
    modash.answers(LATER)
    client = make_client(config)
    refreshed = get(client, refresh="true")
    services = client.application.extensions["services"]
    services.cache.announce_change("modash")
    monkeypatch.setattr(services.store.ledger._database, "_connections", NoConnections())

    kept = get(client)

    assert (refreshed.status_code, kept.status_code) == (200, 200)
    assert kept.get_json()["posts"] == refreshed.get_json()["posts"]


def test_a_report_that_was_answered_from_what_is_kept_is_answered_without_the_database(
    make_client, clock, modash, monkeypatch
):
    monkeypatch.setattr(purchasing, "SEEN_AT_MOST", 1)
    client = make_client(settings(), clock=clock)
    creators = ("nasa", "esa", "jaxa")
    for creator in creators:
        get(client, url=creator)
    for creator in creators:
        get(client, url=creator, format="csv")
    services = client.application.extensions["services"]
    services.cache.announce_change("modash")
    monkeypatch.setattr(services.store.ledger._database, "_connections", NoConnections())

    assert [get(client, url=creator).status_code for creator in creators] == [200] * 3


def test_without_the_database_an_id_leads_to_the_report_that_its_handle_leads_to(
    make_client, clock, modash, monkeypatch
):
    profile = {"profile": {"userId": "528817151", "username": "nasa"}}
    modash.answers(WHOLE | profile)
    client = make_client(settings(), clock=clock)
    get(client, url="528817151")
    get(client, url="528817151", format="csv")
    clock.wait(10)
    modash.answers(WHOLE | profile | {"posts": block(6, total=6)})
    get(client, refresh="true")
    services = client.application.extensions["services"]
    monkeypatch.setattr(services.store.ledger._database, "_connections", NoConnections())

    found = [get(client, url=creator, format="json") for creator in ("nasa", "528817151")]

    assert [reply.status_code for reply in found] == [200, 200]
    assert [reply.get_json()["posts"]["total"] for reply in found] == [6, 6]


def test_without_the_database_a_report_is_as_old_as_its_call_however_long_that_took(
    make_client, clock, wire, monkeypatch
):
    def answer_late(_request):
        clock.wait(7)
        return 200, {}, json.dumps(WHOLE)

    wire.add_callback("GET", REPORT, answer_late)
    client = make_client(settings(), clock=clock)
    bought = get(client)
    database = client.application.extensions["services"].store.ledger._database
    monkeypatch.setattr(database, "_connections", NoConnections())

    found = get(client, format="json")

    assert [reply.get_json()["meta"]["fetched_at"] for reply in (bought, found)] == ["2026-06-15T18:00:00Z"] * 2


def keep(services, creator, body, *, fetched_at):
    """Keep a report as another process does, before this one notices it."""
    with services.store.databases[-1].write() as connection:
        new = NewReport(json.dumps(body))
        services.store.reports.keep(connection, "modash", creator, new, fetched_at=fetched_at, price=PRICE)


def never(*_arguments, **_options):
    raise AssertionError("It is read again.")


@pytest.mark.parametrize("is_shown_before", [False, True])
def test_an_older_report_that_was_booked_late_does_not_take_the_place_of_a_newer_one(client, clock, is_shown_before):
    services, now = client.application.extensions["services"], clock.timestamp()
    keep(services, "nasa", NEWER, fetched_at=now - 10)
    if is_shown_before:
        get(client)
    keep(services, "nasa", WHOLE, fetched_at=now - 60)
    services.cache.announce_change("modash")

    assert get(client, format="json").get_json()["posts"] == NEWER["posts"]


def test_reports_of_a_thousand_creators_are_read_once(client, clock, modash, monkeypatch):
    services = client.application.extensions["services"]
    creators = [f"creator{number}" for number in range(1_000)]
    for creator in creators:
        keep(services, creator, WHOLE | {"named": creator}, fetched_at=clock.now().timestamp())
    for creator in creators:
        get(client, url=creator)

    for read in ("history", "newest_of"):
        monkeypatch.setattr(Reports, read, never)
    bodies = [get(client, url=creator, format="json").get_json() for creator in creators]

    assert [(body["named"], body["posts"]) for body in bodies] == [(each, WHOLE["posts"]) for each in creators]
    assert modash.asked == 0


def test_of_more_reports_than_are_kept_those_that_were_used_last_are_not_read_again(client, modash, monkeypatch):
    monkeypatch.setattr(recent, "RECENT_AT_MOST", 4_000)  # bytes; each of these reports takes almost 2,000
    creators = ("nasa", "esa", "jaxa")
    for format_ in ("json", "csv"):
        for creator in creators:
            get(client, url=creator, format=format_)
    read, names = Reports.history, []

    def noted(self, source, creator, *, limit):
        names.append(creator)
        return read(self, source, creator, limit=limit)

    monkeypatch.setattr(Reports, "history", noted)
    for creator in creators[::-1]:
        assert get(client, url=creator, wait=1).status_code == 200

    assert names == ["nasa"]


def test_a_report_that_is_looked_up_again_and_again_takes_its_room_once(client, modash, monkeypatch):
    monkeypatch.setattr(recent, "RECENT_AT_MOST", 4_000)  # bytes; each of these reports takes almost 2,000
    for creator, format_ in (("nasa", "json"), ("nasa", "csv"), ("esa", "json"), ("esa", "csv")):
        get(client, url=creator, format=format_)
    for wait in range(1, 4):
        client.application.extensions["services"].cache.announce_change("modash")
        get(client, url="esa", wait=wait)
    monkeypatch.setattr(Reports, "history", never)

    assert [get(client, url=creator, wait=5).status_code for creator in ("nasa", "esa")] == [200, 200]


def test_a_report_that_was_shown_again_outlives_one_that_was_read_later(client, clock, monkeypatch):
    monkeypatch.setattr(recent, "RECENT_AT_MOST", 4_000)  # bytes; each of these reports takes almost 2,000
    services = client.application.extensions["services"]
    for creator in ("nasa", "esa", "jaxa"):
        keep(services, creator, WHOLE, fetched_at=clock.now().timestamp())
    for creator in ("nasa", "esa"):
        get(client, url=creator)
    services.cache.forget(ACCOUNT_ID)  # It is no change of the reports.

    with monkeypatch.context() as shown_again:
        shown_again.setattr(Reports, "newest_of", never)
        again = get(client, url="nasa", wait=1)
    get(client, url="jaxa")
    monkeypatch.setattr(Reports, "history", never)

    assert [reply.status_code for reply in (again, get(client, url="nasa", wait=2))] == [200, 200]


def test_a_report_that_is_still_the_newest_is_not_read_again_after_the_change_of_another(
    client, clock, modash, monkeypatch
):
    services = client.application.extensions["services"]
    get(client)
    before = [get(client, format=format_).data for format_ in ("json", "csv")]
    get(client, url="esa")

    with monkeypatch.context() as changed:
        changed.setattr(Reports, "history", never)
        after = [get(client, format=format_).data for format_ in ("csv", "json")]
    keep(services, "nasa", NEWER, fetched_at=clock.now().timestamp())
    services.cache.forget("modash")  # As where another process has announced it.
    newer = [get(client, format=format_) for format_ in ("json", "csv")]

    assert after == before[::-1]
    assert (newer[0].get_json()["posts"]["total"], newer[0].get_json()["reels"]) == (6, None)
    assert b"reels" not in newer[1].data
    assert modash.asked == 2


def test_a_report_that_is_replaced_while_it_is_read_is_not_taken_for_the_newest(client, clock, monkeypatch):
    services = client.application.extensions["services"]
    now = clock.now().timestamp()
    keep(services, "nasa", WHOLE, fetched_at=now - 60)
    read = Reports.history

    def read_before_a_change(*arguments, **options):
        found = read(*arguments, **options)
        keep(services, "nasa", NEWER, fetched_at=now)
        services.cache.forget("modash")
        return found

    with monkeypatch.context() as changing:
        changing.setattr(Reports, "history", read_before_a_change)
        assert get(client).get_json()["posts"]["total"] == 30

    assert get(client, format="json").get_json()["posts"]["total"] == 6


def test_a_report_is_read_again_after_a_minute_although_others_changed_meanwhile(client, clock, modash, monkeypatch):
    passed = [0.0]
    for module in (recent, purchasing):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1_000.0 + passed[0]))
    services = client.application.extensions["services"]
    for format_ in ("json", "csv"):
        get(client, format=format_)

    def total_after(seconds, query_of_its_own):
        passed[0] = seconds
        services.cache.forget("modash")  # As where another report was bought.
        return get(client, **query_of_its_own).get_json()["posts"]["total"]

    before = total_after(40, {"format": "json"})
    with services.store.databases[-1].write() as connection:  # An operator repairs what is kept.
        connection.exec_driver_sql("UPDATE reports SET body = replace(body, '30', '31')")

    assert (before, total_after(59, {"wait": 1}), total_after(60, {"wait": 2})) == (30, 30, 31)


def test_without_the_database_a_report_that_was_bought_last_is_answered_and_not_the_one_before(
    client, clock, modash, monkeypatch
):
    for format_ in ("json", "csv"):
        get(client, format=format_)
    clock.wait(10)
    modash.answers(NEWER)
    get(client, refresh="true")
    ledger = client.application.extensions["services"].store.ledger
    monkeypatch.setattr(ledger._database, "_connections", NoConnections())

    assert get(client, wait=1).get_json()["posts"]["total"] == 6


def test_a_dry_run_without_the_ledger_makes_no_promise_of_a_call(make_client, clock, modash, monkeypatch):
    client = make_client(settings(performance_ttl=60), clock=clock)
    get(client)
    ledger = client.application.extensions["services"].store.ledger
    monkeypatch.setattr(ledger._database, "_connections", NoConnections())

    fresh = get(client, dry_run="true").get_json()
    clock.wait(61)
    body = get(client, dry_run="true").get_json()

    assert fresh["outcome"] == "kept"
    assert (body["would_call"], body["credits"], body["outcome"]) == (False, 0, "away")


def test_a_dry_run_that_cannot_read_what_was_spent_makes_no_promise_of_a_call(client, modash, monkeypatch):
    spending = client.application.extensions["services"].store.spending
    monkeypatch.setattr(spending, "_database", UnavailableDatabase())

    body = get(client, dry_run="true").get_json()

    assert (body["would_call"], body["credits"], body["outcome"]) == (False, 0, "away")


def test_a_dry_run_knows_who_does_not_exist(client, modash):
    modash.answers({"error": True, "code": "handle_not_found"}, status=404)
    get(client)

    outcomes = [get(client, dry_run="true", refresh=refresh).get_json()["outcome"] for refresh in ("false", "true")]

    assert outcomes == ["unknown", "ask"]
