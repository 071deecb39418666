"""A report that was paid for is booked later if the database is unavailable, also by the next process."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from config import Config
from services.background import heartbeat
from services.reports import settlements
from services.store import connections, outage, settlement_spool
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.ledger import Opened, Order, Settlement, content_of
from services.store.settlement_spool import SettlementSpool, spool_folder, spooled_files, write_spooled_files
from tests.stores import query
from tests.support import MODASH, MODASH_KEY, new_instance, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
WHOLE = {
    "posts": {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}, "note": f"key {MODASH_KEY}"},
    "reels": {"total": 0},
}
BOOKED = "SELECT state, code FROM ledger ORDER BY id"


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    monkeypatch.setattr(heartbeat, "BEAT", 3600.0)  # Each test says when what waits is booked.
    return settings()


@pytest.fixture
def folder(config):
    return Path(config.instance_path)


@pytest.fixture
def away(folder):
    """Take the database away, and put it back at the end of the block."""
    elsewhere = Path(new_instance())

    @contextmanager
    def block():
        for path in folder.glob("gateway.db*"):
            path.rename(elsewhere / path.name)
        try:
            yield
        finally:
            for path in elsewhere.glob("gateway.db*"):
                path.rename(folder / path.name)

    yield block
    shutil.rmtree(elsewhere)


@pytest.fixture
def buy(make_client, config, away, wire):
    """Buy a report whose answer comes after the database has gone; return the reply and its process."""

    def buy_one(creator="nasa", answer=(200, WHOLE)):
        client = make_client(config)
        with bought_without_database(wire, away, answer):
            reply = client.get(f"/performance-data?url={creator}")
        return reply, client.application.extensions["services"]

    return buy_one


@contextmanager
def bought_without_database(wire, away, answer):
    gone = away()

    def answered(_request):
        gone.__enter__()
        return answer[0], {}, json.dumps(answer[1])

    wire.assert_all_requests_are_fired = False
    wire.remove("GET", REPORT)
    wire.add_callback("GET", REPORT, answered)
    try:
        yield
    finally:
        gone.__exit__(None, None, None)


def order(creator):
    return Order("modash", creator, "anonymous", price=250, limit=100_000, longest_call=30, max_retries=3)


def settle_late(client):
    client.application.extensions["services"].settlements.settle_late()


def rows(folder, statement=BOOKED):
    return query({"INSTANCE_PATH": str(folder)}, "gateway", statement)


def files(folder):
    return sorted(path.name for path in (folder / "unbooked").glob("*"))


def test_what_one_process_could_not_book_the_next_one_books_once(buy, make_client, config, folder, wire):
    reply, _ = buy()
    kept = folder / "unbooked" / files(folder)[0]
    content, permissions = kept.read_text(), kept.stat().st_mode & 0o777
    before = rows(folder)

    others = [make_client(config) for _ in range(2)]
    for each in others:
        settle_late(each)
    kept.write_text(content)  # Of a process that ended between the booking and the deletion.
    settle_late(others[0])
    asked = len(wire.calls)
    again = others[1].get("/performance-data?url=nasa")

    assert (reply.status_code, before) == (200, [("open", None)])
    assert permissions == 0o600
    assert MODASH_KEY not in content
    assert rows(folder) == [("charged", "report")]
    assert rows(folder, "SELECT count(*) FROM reports") == [(1,)]
    assert rows(folder, "SELECT milli_credits FROM ledger_months") == [(250,)]
    assert files(folder) == []
    assert (again.status_code, again.get_json()["posts"]) == (200, reply.get_json()["posts"])
    assert len(wire.calls) == asked


def test_what_a_locked_database_did_not_take_is_booked_by_the_next_process(
    make_client, config, folder, wire, monkeypatch
):
    monkeypatch.setattr(connections, "BUSY_TIMEOUT", 0.2)
    client = make_client(config)
    with closing(sqlite3.connect(folder / "gateway.db", isolation_level=None, check_same_thread=False)) as other:

        def answered(_request):
            other.execute("BEGIN IMMEDIATE")
            return 200, {}, json.dumps(WHOLE)

        wire.add_callback("GET", REPORT, answered)
        reply = client.get("/performance-data?url=nasa")
        client.application.extensions["services"].close()
        other.execute("ROLLBACK")

    settle_late(make_client(config))

    assert reply.status_code == 200
    assert (rows(folder), files(folder)) == ([("charged", "report")], [])


def test_a_process_that_ends_books_what_waits_if_it_can(buy, folder):
    _, services = buy()

    services.close()

    assert rows(folder) == [("charged", "report")]
    assert files(folder) == []


def test_a_process_that_ends_tries_again_while_the_database_is_away(buy, folder, monkeypatch):
    _, services = buy()
    ledger, faults = services.store.ledger, iter(["gone", "gone"])
    settle = ledger.settle

    def settled_later(*call, **options):
        if (fault := next(faults, None)) is not None:
            raise DatabaseUnavailableError(fault)
        return settle(*call, **options)

    monkeypatch.setattr(ledger, "settle", settled_later)
    services.settlements.close()

    assert files(folder) == []


def test_a_result_that_is_booked_late_is_announced_as_one_that_is_booked_at_once(buy):
    changed = []
    _, services = buy()
    services.cache.on_change(changed.append)
    before = services.store.cache_entries.versions().get("modash", 0)

    services.settlements.settle_late()
    assert "modash" in changed
    assert services.store.cache_entries.versions()["modash"] == before + 1

    changed.clear()
    services.settlements.settle(Opened(7, order("esa"), 1.0), Settlement("charged", "report", 2.0))
    assert "modash" in changed
    assert services.store.cache_entries.versions()["modash"] == before + 2


def test_calls_of_two_databases_with_one_number_have_a_file_each(tmp_path, monkeypatch):
    spool = SettlementSpool(str(tmp_path), mode="live")
    calls = [
        (Opened(1, order(creator), at), Settlement("charged", "report", at + 1))
        for creator, at in (("a", 1.0), ("b", 2.0))
    ]
    for opened, settlement in calls:
        spool.put(opened, content_of(opened, settlement))

    assert list(spool.read()) == calls
    monkeypatch.setattr(settlement_spool, "MAX_FILES", 1)
    assert list(spool.read()) == calls[:1]


def test_a_result_that_another_process_books_meanwhile_is_left_out(tmp_path):
    spool = SettlementSpool(str(tmp_path), mode="live")
    for id_ in (1, 2):
        spool.put(Opened(id_, order("a"), 1.0), content_of(Opened(id_, order("a"), 1.0), Settlement("free", "x", 2.0)))
    waiting = spool.read()

    assert next(waiting)[0].id == 1
    spool.remove(Opened(2, order("a"), 1.0))
    assert list(waiting) == []


def test_a_result_that_waits_is_not_replaced_by_one_of_a_backup(tmp_path):
    for content in ("newer", "of the backup"):
        write_spooled_files(spool_folder(str(tmp_path)), {"live-1-1000.json": content})

    assert spooled_files(str(tmp_path)) == {"live-1-1000.json": "newer"}


def test_a_result_of_a_backup_is_written_nowhere_but_into_the_folder_of_results(tmp_path):
    folder = spool_folder(str(tmp_path))

    write_spooled_files(folder, {"../live-1-1000.json": "of the backup"})

    assert list(tmp_path.rglob("*.json")) == [folder / "live-1-1000.json"]


@pytest.mark.parametrize(
    ("answer", "booked"),
    [
        ((200, {"error": True, "code": "retry_later", "message": "Wait."}), ("free", "retry_later")),
        ((404, {"error": True, "code": "account_not_found", "message": "x"}), ("free", "account_not_found")),
        ((503, {}), ("uncertain", "provider_response_invalid")),
    ],
    ids=["not ready", "unknown creator", "uncertain"],
)
def test_every_result_is_booked_by_the_next_process(buy, make_client, config, answer, booked):
    buy(answer=answer)

    settle_late(make_client(config))

    folder = config.instance_path
    assert rows(folder) == [booked]
    assert rows(folder, "SELECT milli_credits FROM ledger_months") == [(250 if booked[0] == "uncertain" else 0,)]


def test_a_report_that_was_not_ready_is_asked_for_again_also_where_that_was_booked_late(buy, make_client, config):
    buy(answer=(200, {"error": True, "code": "retry_later", "message": "Wait."}))
    client = make_client(config)
    jobs = client.application.extensions["services"].store.jobs
    assert jobs.keys("report") == set()

    settle_late(client)

    assert client.get("/performance-data?url=nasa").status_code == 202
    asked_again = jobs.claim("worker", 9, now=time.time() + config.report_retry_after, kinds=["report"])
    assert [(job.key, job.payload) for job in asked_again] == [("nasa", {"caller": "anonymous"})]


def test_a_process_of_the_other_mode_leaves_the_file_alone(buy, make_client, folder):
    buy()
    before = files(folder)

    settle_late(make_client(Config(instance_path=str(folder))))

    assert (files(folder), rows(folder)) == (before, [("open", None)])
    assert rows(folder, "SELECT count(*) FROM settlements_set_apart") == [(0,)]


def test_a_file_that_cannot_be_read_is_kept_apart_and_stands_before_no_other(buy, make_client, config, folder):
    buy()
    contents = ['{"id": 0, "order"', "[]", '{"settlement": null}', '{"settlement": {"report": null}}']
    for number, content in enumerate(contents):
        (folder / "unbooked" / f"live-0-{number}.json").write_text(content)

    settle_late(make_client(config))

    assert rows(folder) == [("charged", "report")]
    assert files(folder) == [f"live-0-{number}.json.unreadable" for number in range(len(contents))]


def test_a_report_of_a_database_that_was_replaced_is_set_apart(buy, make_client, config, folder):
    buy()
    for path in folder.glob("gateway.db*"):
        path.unlink()
    shutil.copy(Path(new_instance()) / "gateway.db", folder)

    client = make_client(config)
    settle_late(client)

    assert (files(folder), rows(folder)) == ([], [])
    assert client.get("/status").get_json()["work"]["set_apart"] == 1


def test_of_a_database_that_was_replaced_nothing_but_a_report_is_set_apart(make_client, config, folder):
    services = make_client(config).application.extensions["services"]

    services.settlements.settle(Opened(7, order("esa"), 1.0), Settlement("free", "handle_not_found", 2.0))

    assert rows(folder, "SELECT count(*) FROM settlements_set_apart") == [(0,)]


def test_a_report_that_no_file_can_take_is_booked_by_its_process(buy, folder):
    (folder / "unbooked").write_text("This is no folder.")

    reply, services = buy()
    (folder / "unbooked").unlink()
    services.settlements.settle_late()

    assert reply.status_code == 200
    assert rows(folder) == [("charged", "report")]


@pytest.fixture
def faulty(folder, monkeypatch):
    """Within a block, make one kind of use of the files of the spool fail."""

    @contextmanager
    def block(method):
        usual = getattr(Path, method)

        def use(path, *arguments, **options):
            if path.parent == folder / "unbooked":
                raise OSError(30, "Read-only file system")
            return usual(path, *arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, method, use)
            yield

    return block


@pytest.fixture
def heartbeat_of_another(make_client, config, caplog):
    """Let another process book what waits, some times; return what it has said."""
    client = make_client(config)

    def beat(times=1):
        for _ in range(times):
            settle_late(client)
        return [record.getMessage() for record in caplog.records]

    return beat


def test_results_that_no_file_can_take_are_booked_while_there_is_no_folder_for_files(buy, folder):
    (folder / "unbooked").write_text("This is no folder.")
    _, services = buy()
    ledger = services.store.ledger
    other = ledger.open(order("esa"), lambda _record, _now: None)
    services.settlements._late.append((other, Settlement("free", "retry_later", other.at)))

    services.settlements.settle_late()

    assert rows(folder) == [("charged", "report"), ("free", "retry_later")]
    assert list(services.settlements._late) == []


def test_the_file_of_another_process_stays_until_the_database_has_taken_it(buy, make_client, config, folder, away):
    buy()
    before = files(folder)
    other = make_client(config)
    with away(), pytest.raises(DatabaseUnavailableError):
        settle_late(other)
    assert files(folder) == before

    settle_late(other)

    assert (files(folder), rows(folder)) == ([], [("charged", "report")])


def test_a_file_that_cannot_be_read_for_now_is_booked_later(buy, heartbeat_of_another, folder, faulty):
    buy()
    before = files(folder)
    with faulty("read_text"):
        said = heartbeat_of_another(times=3)
        assert (files(folder), rows(folder)) == (before, [("open", None)])
    assert said.count("A file of unbooked results cannot be used") == 1

    heartbeat_of_another()

    assert (files(folder), rows(folder)) == ([], [("charged", "report")])


def test_a_file_that_cannot_be_renamed_keeps_no_other_from_being_booked(buy, heartbeat_of_another, folder, faulty):
    buy()
    (folder / "unbooked" / "live-0-1.json").write_text("[]")
    with faulty("rename"):
        said = heartbeat_of_another(times=3)

    assert said.count("A file of unbooked results cannot be used") == 1
    assert (files(folder), rows(folder)) == (["live-0-1.json"], [("charged", "report")])

    heartbeat_of_another()
    assert files(folder) == ["live-0-1.json.unreadable"]


def test_nothing_is_remembered_of_files_that_are_gone(folder, faulty):
    spool = SettlementSpool(str(folder), mode="live")
    for number in range(20):
        opened = Opened(number, order("a"), 1.0)
        spool.put(opened, content_of(opened, Settlement("free", "x", 2.0)))
        with faulty("unlink"):
            spool.remove(opened)
        for path in (folder / "unbooked").glob("*"):
            path.unlink()
        assert list(spool.read()) == []

    assert (spool._noted, spool._booked) == (set(), set())


def test_a_file_that_cannot_be_deleted_is_booked_once(buy, heartbeat_of_another, folder, faulty):
    buy()
    before = files(folder)
    with faulty("unlink"):
        said = heartbeat_of_another(times=3)

    assert said.count("A file of unbooked results cannot be used") == 1
    assert said.count("The result of a call of another process was booked") == 1
    assert (files(folder), rows(folder)) == (before, [("charged", "report")])

    heartbeat_of_another()
    assert files(folder) == []


def test_a_result_that_no_file_could_take_is_in_one_as_soon_as_the_disk_takes_it(buy, away, folder):
    (folder / "unbooked").write_text("This is no folder.")
    _, services = buy()
    (folder / "unbooked").unlink()

    with away(), pytest.raises(DatabaseUnavailableError):
        services.settlements.settle_late()

    assert len(files(folder)) == 1


def test_what_can_be_kept_nowhere_is_in_the_log_when_the_process_ends(buy, away, folder, monkeypatch, caplog):
    (folder / "unbooked").write_text("This is no folder.")
    _, services = buy()
    monkeypatch.setattr(settlements, "TRIED_AT_END", 0.0)

    with away():
        services.settlements.close()

    (line,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    kept = json.loads(line.content)
    assert (kept["order"]["creator"], kept["settlement"]["state"]) == ("nasa", "charged")
    assert json.loads(kept["settlement"]["report"][0])["posts"]["total"] == 30
    assert MODASH_KEY not in line.content


def test_a_creator_whose_call_waits_to_be_booked_is_not_to_be_bought(make_client, config):
    client = make_client(config)
    services = client.application.extensions["services"]
    opened = services.store.ledger.open(order("nasa"), lambda _record, _now: None)
    services.settlements._late.append((opened, Settlement("uncertain", "provider_timeout", opened.at)))

    assert client.get("/performance-data?url=nasa&dry_run=true").get_json()["outcome"] == "in_flight"


def test_a_report_that_waits_to_be_booked_is_answered_and_not_the_one_before(make_client, config, away, wire):
    client = make_client(config)
    wire.get(REPORT, json={**WHOLE, "posts": {"total": 29}})
    client.get("/performance-data?url=nasa")
    with bought_without_database(wire, away, (200, WHOLE)):
        client.get("/performance-data?url=nasa&refresh=true")

    assert client.get("/performance-data?url=nasa").get_json()["posts"]["total"] == 30


def test_results_are_booked_late_in_the_order_in_which_they_came(make_client, config, monkeypatch):
    services = make_client(config).application.extensions["services"]
    ledger, booked = services.store.ledger, []
    calls = [ledger.open(order(creator), lambda _record, _now: None) for creator in ("nasa", "esa", "jaxa")]

    def unavailable(*_, **__):
        raise DatabaseUnavailableError("gateway", "it is away")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "settle", unavailable)
        for opened in calls:
            services.settlements.settle(opened, Settlement("free", "retry_later", opened.at))
    settle = ledger.settle
    monkeypatch.setattr(
        ledger, "settle", lambda opened, *rest, **more: booked.append(opened) or settle(opened, *rest, **more)
    )

    services.settlements.settle_late()

    assert booked == calls


@pytest.mark.parametrize(
    "failure",
    [DatabaseUnavailableError("gateway", "it is away"), StatementRefusedError("odd")],
    ids=["unavailable", "refused"],
)
def test_a_call_that_was_never_sent_is_booked_as_free_where_its_row_cannot_be_deleted(
    make_client, config, folder, monkeypatch, failure
):
    services = make_client(config).application.extensions["services"]
    ledger, not_ready = services.store.ledger, Settlement("free", "retry_later", 1.0, pending="Later.")
    services.settlements.settle(ledger.open(order("nasa"), lambda _record, _now: None), not_ready)
    opened = ledger.open(order("nasa"), lambda _record, _now: None)

    def fails(_opened):
        raise failure

    monkeypatch.setattr(ledger, "forget", fails)
    services.settlements.forget(opened, Settlement("free", "busy", opened.at, retry=True))
    states = [rows(folder)[1]]
    services.settlements.settle_late()
    states.append(rows(folder)[1])

    booked = ("free", "busy")
    assert states == [booked if isinstance(failure, StatementRefusedError) else ("open", None), booked]
    assert ledger.record("modash", "nasa").pending.attempts == 2


def test_a_settlement_that_is_never_taken_stands_before_no_other(buy, make_client, config, monkeypatch):
    client = make_client(config)
    services = client.application.extensions["services"]
    settle, taken = services.store.ledger.settle, []

    def settle_others(opened, settlement, **more):
        if opened.order.creator == "nasa":
            raise DatabaseUnavailableError("gateway", "a fault of this row")
        taken.append(opened.order.creator)
        return settle(opened, settlement, **more)

    ledger = services.store.ledger
    waiting = [
        (ledger.open(order(creator), lambda _record, _now: None), Settlement("free", "retry_later", 1.0))
        for creator in ("nasa", "esa", "jaxa")
    ]
    services.settlements._late.extend(waiting)
    monkeypatch.setattr(ledger, "settle", settle_others)

    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError):
            services.settlements.settle_late()

    assert taken == ["esa", "jaxa"]
    monkeypatch.undo()
    services.settlements.settle_late()
