"""What the database refuses costs one statement; a provider's odd texts and numbers are kept all the same."""

from __future__ import annotations

import itertools
import json
import logging

import pytest
from sqlalchemy import insert, select, text

from services.reports import recent
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.history import HistoryKey, HistoryValue
from services.store.job_tables import workers
from services.store.report_tables import balances
from services.store.reports import BalanceReading
from tests.stores import query
from tests.support import MODASH, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
BLOCK = {"total": 30, "likes": {"mean": [{"numberOfItems": 30, "value": 12.5}]}}
ODD = [
    "NUL \0 within",
    "\0",
    "surrogate \ud83d alone",
    "\udc00",
    "long " + "x" * 100_000,
    "\U0001f600 emoji",
    "\x1b\x7f",
]


@pytest.fixture
def gateway(make_client, clock, store_settings):
    """A gateway over each engine."""
    client = make_client(settings(database_url=store_settings.get("DATABASE_URL", "")), clock=clock)
    yield client
    client.application.extensions["services"].close()  # before its database is dropped


def rows(client):
    config = client.application.extensions["config"]
    store = {"DATABASE_URL": config.database_url, "INSTANCE_PATH": config.instance_path}
    return query(store, "gateway", "SELECT state, code FROM ledger ORDER BY id")


# The database


@pytest.fixture
def database(store):
    return store.databases[1]


REFUSED = {
    "no such table": lambda connection: connection.execute(text("SELECT * FROM no_such_table")),
    "syntax": lambda connection: connection.execute(text("SELEKT 1")),
    "unique": lambda connection: connection.execute(insert(balances), [{"source": "x", "read_at": 1.0}] * 2),
    "not null": lambda connection: connection.execute(insert(balances), {"source": "x", "read_at": None}),
    "surrogate": lambda connection: connection.execute(select(balances).where(balances.c.source == "\ud83d")),
    "integer": lambda connection: connection.execute(
        insert(workers), {"holder": "x", "host": "", "pid": 10**400, "started_at": 1.0, "seen_at": 1.0}
    ),
    "type": lambda connection: connection.execute(insert(balances), {"source": object(), "read_at": 1.0}),
}


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_refused_statement_leaves_the_database_available(store, database, way):
    for kind, refused in REFUSED.items():
        with pytest.raises(StatementRefusedError), getattr(database, way)() as connection:
            refused(connection)

        assert database.fault is None
        store.jobs.put("report", kind, due_at=1.0)
    assert store.jobs.counts(now=0.0).waiting == len(REFUSED)


@pytest.mark.parametrize(
    "refused", [select(text("missing")).select_from(text("no_such_table")), select(text("SELEKT 1"))]
)
def test_a_refused_query_of_the_driver_leaves_the_database_available(database, refused):
    for read in (database.plain_rows, database.plain_columns):
        with pytest.raises(StatementRefusedError):
            read(refused, {})

        assert database.fault is None
        assert read(select(balances.c.source), {}) in ([], [()])


@pytest.mark.parametrize("store_settings", ["postgresql"], indirect=True)
def test_a_nul_is_refused_and_a_statement_that_takes_too_long_makes_the_database_unavailable(store, database):
    with pytest.raises(StatementRefusedError):
        store.reports.handle_of("modash", "\0")

    slow = text("SELECT set_config('statement_timeout', '10', false), pg_sleep(0)"), text("SELECT pg_sleep(1)")
    with pytest.raises(DatabaseUnavailableError) as late, database.read() as connection:
        [connection.execute(statement) for statement in slow]

    assert not isinstance(late.value, StatementRefusedError)
    assert database.fault is not None


def test_the_same_refusal_is_logged_once_a_minute(database, caplog):
    for _ in range(3):
        with pytest.raises(StatementRefusedError), database.read() as connection:
            connection.execute(text("SELEKT 1"))

    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "The database refused a statement"
    ]


def test_a_number_that_no_column_can_hold_is_unknown_and_stops_no_other(store):
    for number in (float("inf"), float("-inf"), float("nan"), 10**400, -(10**400)):
        keep_odd_number(store, number)


def keep_odd_number(store, number):
    known, odd = (HistoryKey(metric, (), "2026-11-01", "2026-11-01") for metric in ("reach", "views"))
    store.reports.note_balance("modash", BalanceReading(number, 1.0))
    store.history.keep("1", {odd: HistoryValue(number, None, 1.0), known: HistoryValue(7, {("a",): 7}, 1.0)})
    store.history.keep("1", {odd: HistoryValue(1, {("a",): number}, 1.0)})

    assert store.reports.balance("modash") == (None, 1.0)
    assert store.history.read("1", [known, odd]) == {known: HistoryValue(7, {("a",): 7}, 1.0)}


def test_odd_names_and_messages_are_stored_readably(store, store_settings):
    for number, odd in enumerate(ODD):
        store.workers.heartbeat(f"we{number}", host=odd, pid=1)
        store.jobs.put("report", str(number), due_at=1.0)
        (job,) = store.jobs.claim("we", 1, now=2.0, kinds=("report",))
        store.jobs.dead_letter(job, odd)

    assert store.workers.seen().alive == store.jobs.counts(now=2.0).given_up == len(ODD)
    hosts = [host for (host,) in query(store_settings, "gateway", "SELECT host FROM workers ORDER BY holder")]
    assert hosts[0] == "NUL \ufffd within"
    assert hosts[4] == "long " + "x" * 247 + "..."
    assert hosts[5] == ODD[5]


# A call, through the front door


def plan(wire, body):
    wire.get(REPORT, body=json.dumps(body), content_type="application/json")


def test_reports_are_kept_whatever_texts_and_numbers_are_in_them(gateway, wire):
    store = gateway.application.extensions["services"].store
    for number, odd in enumerate([*ODD, 10**400, 1e300]):
        body = {"posts": BLOCK, "reels": BLOCK, "extra": {str(odd): [odd]}}
        plan(wire, body)

        bought = gateway.get(f"/performance-data?url=nasa{number}")

        assert bought.status_code == 200, bought.get_json()
        assert rows(gateway) == [("charged", "report")] * (number + 1)
        (kept,) = store.reports.history("modash", f"nasa{number}", limit=5)
        # The transport replaces half a surrogate pair.
        assert kept.body == json.loads(json.dumps(body, ensure_ascii=False).encode(errors="replace"))


def test_reports_that_are_not_ready_are_followed_up_whatever_their_messages(gateway, wire):
    store = gateway.application.extensions["services"].store
    for number, odd in enumerate(ODD):
        plan(wire, {"status": "retry_later", "message": odd})

        reply = gateway.get(f"/performance-data?url=nasa{number}")

        assert (reply.status_code, rows(gateway)[number:]) == (202, [("free", "retry_later")])
        assert store.ledger.record("modash", f"nasa{number}").pending.attempts == 1
    assert store.databases[1].fault is None


@pytest.mark.parametrize("secret", ["1", "123", "30", "12345678", "total", "posts", "value", '"', ":"])
def test_a_secret_that_is_short_or_a_number_does_not_damage_a_report(make_client, clock, wire, secret):
    client = make_client(settings(modash_api_key=secret), clock=clock)
    body = {"posts": BLOCK, "reels": BLOCK, "extra": {"id": 12345678, "text": "1 of 123"}}
    wire.get(REPORT, json=body)

    reply = client.get("/performance-data?url=nasa")

    assert reply.status_code == 200
    assert reply.get_json()["posts"]["total"] == 30
    (kept,) = client.application.extensions["services"].store.reports.history("modash", "nasa", limit=5)
    assert kept.body == body


DAMAGED = [
    '{"posts": [redacted]}',
    '{"posts": {"total": NaN}}',
    '{"posts": {"total": 1e999}}',
    '{"posts": {"total": ' + "[" * 800 + "]" * 800 + "}}",
    "[" * 20_000,
    "[]",
    "null",
    "",
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=[text[:20] for text in DAMAGED])
def test_a_report_that_was_damaged_by_an_earlier_version_is_still_shown(make_client, clock, wire, damaged):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    config = settings()
    make_client(config, clock=clock).get("/performance-data?url=nasa")
    query({"INSTANCE_PATH": config.instance_path}, "gateway", f"UPDATE reports SET body = '{damaged}'")
    restarted = make_client(config, clock=clock)

    replies = [restarted.get("/performance-data?url=@nasa") for _ in range(2)]
    listed = restarted.get("/performance-data/history?url=nasa").get_json()["reports"]

    assert [reply.status_code for reply in replies] == [200, 200]
    shown = [*(reply.get_json() for reply in replies), *listed]
    assert [each["unrecognized"] for each in shown] == [{"damaged": damaged}] * 3
    assert len(wire.calls) == 1


BROKEN = {
    "fetched_at": ["'words'", "x'00ff'", "1e300", "''"],
    "milli_credits": ["'words'", "x'00ff'", "1e300"],
    "credits_left": ["'words'", "x'00ff'", "9e999"],
    "body": ["CAST(body AS BLOB)"],
}


@pytest.mark.parametrize("creator", ["nasa", "12345"])
@pytest.mark.parametrize("column", BROKEN)
def test_a_report_whose_row_is_damaged_is_shown_and_not_bought_again(make_client, clock, wire, column, creator):
    identity = {"profile": {"userId": "12345", "username": "nasa"}}
    for total in (1, 2):
        wire.get(REPORT, json={"posts": BLOCK | {"total": total}, "reels": BLOCK} | identity)
    config = settings(performance_ttl=600)
    client = make_client(config, clock=clock)
    for refresh in ("false", "true"):
        bought = client.get(f"/performance-data?url={creator}&refresh={refresh}")
        assert bought.status_code == 200
        clock.wait(60)
    whole = client.get("/performance-data/history?url=nasa").get_json()["reports"]
    assert [each["posts"]["total"] for each in whole] == [2, 1]
    store = {"INSTANCE_PATH": config.instance_path}
    kept = query(store, "gateway", f"SELECT id, {column} FROM reports")
    for value, rows in itertools.product(BROKEN[column], ("id = 1", "id = 2", "true")):
        query(store, "gateway", f"UPDATE reports SET {column} = {value} WHERE {rows}")
        client.application.extensions["services"].cache.announce_change("modash")

        reply = client.get("/performance-data?url=nasa").get_json()
        listed = client.get("/performance-data/history?url=nasa").get_json()

        assert (reply["posts"]["total"], reply["meta"]["stale"]) == (2, False), (value, rows)
        assert listed["reports"] == whole, (value, rows)
        for id_, old in kept:
            query(store, "gateway", f"UPDATE reports SET {column} = :old WHERE id = :id", old=old, id=id_)
    assert len(wire.calls) == 2


def test_reports_whose_moments_are_damaged_in_different_ways_keep_their_order(make_client, clock, wire):
    for total in (1, 2):
        wire.get(REPORT, json={"posts": BLOCK | {"total": total}, "reels": BLOCK})
    config = settings()
    client = make_client(config, clock=clock)
    for refresh in ("false", "true"):
        client.get(f"/performance-data?url=nasa&refresh={refresh}")
        clock.wait(60)
    whole = client.get("/performance-data/history?url=nasa").get_json()["reports"]
    store = {"INSTANCE_PATH": config.instance_path}

    # SQLite orders a text after every number, and -1 before every moment.
    query(store, "gateway", "UPDATE reports SET fetched_at = CASE id WHEN 1 THEN 'words' ELSE -1e300 END")
    listed = [client.get(f"/performance-data/history?url=nasa&limit={limit}").get_json() for limit in (2, 1)]

    assert [each["reports"] for each in listed] == [whole, whole[:1]]


def test_a_report_that_is_no_utf_8_is_shown_and_not_bought_again(make_client, clock, wire):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    config = settings()
    make_client(config, clock=clock).get("/performance-data?url=nasa")
    query({"INSTANCE_PATH": config.instance_path}, "gateway", "UPDATE reports SET body = CAST(x'7bff' AS TEXT)")
    restarted = make_client(config, clock=clock)

    shown = restarted.get("/performance-data?url=nasa").get_json()
    (listed,) = restarted.get("/performance-data/history?url=nasa").get_json()["reports"]

    assert shown["unrecognized"] == listed["unrecognized"] == {"damaged": "{\ufffd"}
    assert len(wire.calls) == 1


def test_a_report_that_is_repaired_is_shown_as_it_is_within_a_minute(client, wire, monkeypatch):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    client.get("/performance-data?url=nasa")
    services = client.application.extensions["services"]
    store = {"INSTANCE_PATH": client.application.extensions["config"].instance_path}
    for total in (31, 32):
        query(store, "gateway", f"UPDATE reports SET body = '{json.dumps({'posts': BLOCK | {'total': total}})}'")
        services.cache.announce_change("modash")  # of any report: a ready reply serves no longer
        monkeypatch.setattr(recent, "MINUTE", 0)

        assert client.get("/performance-data?url=nasa").get_json()["posts"]["total"] == total
    assert len(wire.calls) == 1


# A settlement that cannot be booked


@pytest.fixture
def refuse(gateway, monkeypatch):
    """Let the database refuse to keep the reports of some creators."""
    services = gateway.application.extensions["services"]
    settle = services.store.ledger.settle

    def refusing(*names, error=StatementRefusedError):
        def attempt(opened, settlement, **options):
            if opened.order.creator in names:
                raise error("DataError: value refused")
            return settle(opened, settlement, **options)

        monkeypatch.setattr(services.store.ledger, "settle", attempt)

    yield refusing
    monkeypatch.undo()


def late(client):
    return client.application.extensions["services"].follow_up._purchasing.settle_late


def test_a_settlement_that_is_refused_is_set_apart_and_counted(gateway, wire, refuse, watch):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK, "extra": {"key": settings().modash_api_key}})
    refuse("nasa")

    gateway.get("/performance-data?url=nasa")
    other = gateway.get("/performance-data?url=esa")

    config = gateway.application.extensions["config"]
    store = {"DATABASE_URL": config.database_url, "INSTANCE_PATH": config.instance_path}
    ((mode, content, failure),) = query(store, "gateway", "SELECT mode, content, failure FROM settlements_set_apart")
    kept = json.loads(content)
    assert (other.status_code, mode, failure) == (200, "live", "DataError: value refused")
    assert json.loads(kept["settlement"]["report"][0])["posts"] == BLOCK
    assert (kept["order"]["creator"], kept["settlement"]["state"]) == ("nasa", "charged")
    assert settings().modash_api_key not in content
    assert gateway.get("/status").get_json()["work"]["set_apart"] == 1
    late(gateway)()
    assert [state for state, _ in rows(gateway)] == ["open", "charged"]


def test_a_settlement_that_is_refused_everywhere_is_one_line_of_the_log(gateway, wire, refuse, monkeypatch, caplog):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK, "extra": {"key": settings().modash_api_key}})
    refuse("nasa")

    def refused(*_):
        raise StatementRefusedError("gateway", "DataError: value refused")

    monkeypatch.setattr(gateway.application.extensions["services"].store.ledger, "set_apart", refused)

    gateway.get("/performance-data?url=nasa")
    late(gateway)()

    (line,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    kept = json.loads(line.content)
    assert json.loads(kept["settlement"]["report"][0])["posts"] == BLOCK
    assert settings().modash_api_key not in line.content


def test_a_settlement_that_fails_does_not_stand_before_the_others(gateway, wire, refuse):
    wire.get(REPORT, json={"posts": BLOCK, "reels": BLOCK})
    refuse("nasa", "esa", error=DatabaseUnavailableError)
    for name in ("nasa", "esa"):
        gateway.get(f"/performance-data?url={name}")
    refuse("nasa", error=DatabaseUnavailableError)

    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError):
            late(gateway)()

    assert [state for state, _ in rows(gateway)] == ["open", "charged"]
