"""Sandbox and live share a database and never a row."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import Index, bindparam, delete, func, insert, select, union, update

from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.store import live_and_sandbox
from services.store.accounts import AccountRow
from services.store.damaged_rows import WITH_DAMAGED_ROWS
from services.store.job_tables import jobs, workers
from services.store.live_and_sandbox import MODES, scoped
from services.store.schema import gateway, memory
from services.store.store import Store
from tests.stores import query

TABLES = [*memory.tables.values(), *gateway.tables.values()]
NUMBERED = {"reports", "ledger"}
SANDBOX_ACCOUNT = "17841400000000000"
INSIGHTS = "/account-insights?period=day&metrics=reach&since=2026-10-01&until=2026-10-03"


# The mechanism


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_key_of_every_table_has_the_mode(table):
    keys = [[column.name for column in index.columns] for index in table.indexes if index.unique]
    keys += [] if table.name in NUMBERED else [[column.name for column in table.primary_key]]

    assert not table.c.mode.nullable
    assert {columns[0] for columns in keys} <= {"mode"}
    assert not any(constraint for constraint in table.constraints if constraint is not table.primary_key)


def test_every_index_over_all_rows_of_a_table_begins_with_the_mode():
    indexes: list[Index] = [index for table in TABLES for index in table.indexes]

    # Holders are random, so these rows are of one mode anyway.
    assert {index.name for index in indexes if index.columns[0].name != "mode"} == {"leases_by_holder"}


@pytest.mark.parametrize(
    "statement",
    [
        select(jobs).where(jobs.c.key.in_(select(workers.c.holder))),
        select(jobs.join(workers, jobs.c.holder == workers.c.holder)),
        select(func.count()).select_from(select(jobs).subquery()),
        union(select(jobs.c.key), select(workers.c.holder)),
        update(jobs).where(jobs.c.key.in_(select(workers.c.holder))).values(attempts=0),
        delete(jobs).where(jobs.c.key.in_(select(workers.c.holder))),
        insert(jobs).from_select(["key"], select(workers.c.holder)),
    ],
    ids=["subquery", "join", "derived table", "union", "update", "delete", "insert"],
)
def test_a_statement_that_could_escape_its_mode_is_refused(statement):
    with pytest.raises(NotImplementedError):
        scoped(statement, "live")


def test_what_is_known_of_a_statement_holds_for_no_other_one():
    base = select(jobs.c.kind).where(jobs.c.key == "nasa")
    of_one_shape = [base, select(jobs.c.kind).where(jobs.c.key == "esa")]
    others = [
        *(base.add_columns(jobs.c.attempts), base.order_by(jobs.c.kind), base.where(jobs.c.kind == workers.c.holder)),
        *(select(workers.c.holder), base.execution_options(**{WITH_DAMAGED_ROWS: True})),
        *(update(jobs).where(jobs.c.key == "nasa").values(attempts=0), delete(jobs).where(jobs.c.key == "nasa")),
    ]
    variants = [(mode, is_file) for mode in MODES for is_file in (True, False)]

    def written(statement, mode, is_file):
        compiled = scoped(statement, mode, is_file=is_file).compile()
        return str(compiled), compiled.params

    def alone(statement, mode, is_file):
        live_and_sandbox._known.clear()
        return written(statement, mode, is_file)

    every = [(statement, *variant) for statement in of_one_shape + others for variant in variants]
    expected = [alone(*each) for each in every]
    live_and_sandbox._known.clear()

    assert [written(*each) for each in every * 2] == expected * 2
    # With the option, the first statement needs of a file what it needs of PostgreSQL.
    assert len(live_and_sandbox._known) == len(others) * len(variants)


def test_what_is_known_of_statements_is_bounded(monkeypatch):
    monkeypatch.setattr(live_and_sandbox, "MOST_KNOWN", 3)
    for count in range(10):
        scoped(select(jobs.c.kind).where(*[jobs.c.attempts > 0] * count), "live")

    assert len(live_and_sandbox._known) <= 3


STATEMENT = select(jobs.c.mode, jobs.c.key)  # as a module builds one, once for all stores


def test_a_statement_is_scoped_once_for_each_mode_whatever_the_number_of_stores(monkeypatch, store_settings):
    place = store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", "")
    walks, found = [], {}

    def note(statement, mode, *, is_file):
        walks.append(mode)
        return scoped(statement, mode, is_file=is_file)

    monkeypatch.setattr(live_and_sandbox, "_scoped", {})
    monkeypatch.setattr(live_and_sandbox, "scoped", note)
    for mode in MODES * 2:
        with closing(Store.open(*place, mode=mode)) as store:
            store.jobs.put("poll", mode, due_at=1.0)
            walks.clear()
            with store.databases[1].read() as connection:
                found[mode] = [tuple(row) for row in connection.execute(STATEMENT)]
        found[mode].append([*walks])

    assert found == {mode: [(mode, mode), []] for mode in MODES}


def test_a_store_has_no_other_modes():
    with pytest.raises(ValueError, match="demo"):
        Store.open("", "/nowhere/at/all", mode="demo")


@pytest.fixture
def stores(store_settings):
    """Both modes of one database."""
    place = store_settings.get("DATABASE_URL", ""), store_settings.get("INSTANCE_PATH", "")
    opened = {mode: Store.open(*place, mode=mode) for mode in ("live", "sandbox")}
    yield opened
    for store in opened.values():
        store.close()


def test_every_kind_of_statement_keeps_to_its_mode(stores, store_settings):
    for store in stores.values():
        store.jobs.put("report", "nasa", due_at=1.0)
        store.jobs.put("report", "nasa", due_at=2.0)
    rows = query(store_settings, "gateway", "SELECT mode, key FROM jobs ORDER BY mode")

    (taken,) = stores["live"].jobs.claim("we", 10, now=5.0, kinds=("report",))
    stores["live"].jobs.complete(taken)

    assert rows == [("live", "nasa"), ("sandbox", "nasa")]
    assert query(store_settings, "gateway", "SELECT mode, attempts FROM jobs") == [("sandbox", 0)]
    with stores["live"].databases[1].write() as connection:
        assert connection.execute(select(func.count()).select_from(jobs)).scalar() == 0
        assert connection.execute(delete(jobs)).rowcount == 0


def test_a_statement_that_is_built_once_keeps_to_the_mode_of_each_store(stores):
    keys = select(jobs.c.key).where(jobs.c.kind == bindparam("kind"))
    stores["live"].jobs.put("report", "nasa", due_at=1.0)
    stores["sandbox"].jobs.put("report", "esa", due_at=1.0)
    found = []

    for _ in range(2):
        for store in stores.values():
            with store.databases[1].read() as connection:
                found.append(connection.execute(keys, {"kind": "report"}).scalars().all())

    assert found == [["nasa"], ["esa"]] * 2


def test_a_query_of_the_driver_keeps_to_the_mode_of_each_store(stores):
    keys = select(jobs.c.key, jobs.c.attempts).where(jobs.c.kind == bindparam("kind"))
    stores["live"].jobs.put("report", "nasa", due_at=1.0)
    stores["sandbox"].jobs.put("report", "esa", due_at=1.0)
    databases = [store.databases[1] for store in stores.values()] * 2

    assert [each.plain_rows(keys, {"kind": "report"}) for each in databases] == [[("nasa", 0)], [("esa", 0)]] * 2
    assert [each.plain_columns(keys, {"kind": "report"}) for each in databases] == [
        [("nasa",), (0,)],
        [("esa",), (0,)],
    ] * 2
    assert databases[0].plain_columns(keys, {"kind": "none"}) == [(), ()]


# One clone, used alternately


@pytest.fixture
def clone(make_world, store_settings, simulator):
    """A gateway that is live and sandbox by turns, over one database, with the same account and creator in both."""
    return make_world(
        **store_settings,
        ACCESS_LONG_LIVED_TOKEN="EAASANDBOXUSERTOKEN",
        INSTAGRAM_ACCOUNT_ID=SANDBOX_ACCOUNT,
        SIMULATOR_PORT=simulator.url.rpartition(":")[2],
        SANDBOX_DESPITE_CREDENTIALS="true",
        PROVIDERS="sandbox",
    )


def source(world, path):
    body = world.body(path)
    world.settle()
    return body["meta"]["source"]


def worker_of(world):
    services = world.services
    return Runner(services.store, handlers(services, world.clock), world.clock)


def test_a_live_reply_has_no_number_of_the_sandbox(clone):
    assert [source(clone, path) for path in (INSIGHTS, "/top-posts?time_range=7d")] == ["sandbox"] * 2
    rehearsed = clone.calls()
    again = source(clone, INSIGHTS), clone.calls()

    clone.restart(PROVIDERS="live")
    live = [source(clone, path) for path in (INSIGHTS, "/top-posts?time_range=7d")]
    asked = clone.calls()
    clone.restart(PROVIDERS="sandbox")
    back = source(clone, INSIGHTS), clone.calls()

    assert rehearsed
    assert again == back == ("sandbox", [])
    assert live == ["instagram"] * 2
    assert sorted(asked) == sorted(rehearsed)


def test_the_hint_of_a_simulator_that_is_away_names_its_port(clone):
    clone.restart(SIMULATOR_PORT="9", RETRY_BUDGET="0")

    for path in ("/top-posts?time_range=7d", "/performance-data?url=nasa"):
        body = clone.get(path).get_json()
        assert (body["code"], "SIMULATOR_PORT, which is 9" in body["hint"]) == ("provider_unavailable", True)


def test_reports_ledger_and_credits_are_separate(clone):
    bought = clone.body("/performance-data?url=nasa")["meta"]

    clone.restart(PROVIDERS="live")
    before = clone.body("/credits")
    history = clone.body("/performance-data/history?url=nasa")["reports"]
    live = clone.body("/performance-data?url=nasa")["meta"]
    after = clone.body("/credits")

    assert (bought["source"], bought["cost"]["credits"]) == ("sandbox", 0.25)
    assert (before["spent"], before["months"], history) == (0.0, [], [])
    assert (live["source"], live["cost"]["credits"], after["spent"]) == ("modash", 0.25, 0.25)


def test_a_worker_takes_jobs_of_its_own_mode_only(clone):
    clone.fault("retry_later", provider="modash", times=1)
    assert clone.get("/performance-data?url=nasa").status_code == 202
    sandbox = worker_of(clone)
    clone.restart(PROVIDERS="live")
    live = worker_of(clone)
    clone.advance(hours=1)

    taken = {"live": live.claim("live", 10), "sandbox": sandbox.claim("sandbox", 10)}
    for job in taken["sandbox"]:
        sandbox.run(job)

    assert [(mode, job.kind, job.key) for mode, jobs_ in taken.items() for job in jobs_] == [
        ("sandbox", "report", "nasa")
    ]
    assert clone.body("/credits")["spent"] == 0
    live.heartbeat("live", [], host="here", pid=1)
    sandbox.heartbeat("sandbox", [], host="here", pid=1)
    assert clone.body("/status")["work"]["workers"] == 1


def test_an_account_that_was_added_in_the_sandbox_is_unknown_live(stores):
    row = AccountRow(SANDBOX_ACCOUNT, "corner.bakery", "facebook", "", b"sealed", 1.0)
    stores["sandbox"].accounts.put(row)

    assert stores["live"].accounts.rows() == []
    assert not stores["live"].accounts.remove(row.id)
    assert stores["sandbox"].accounts.rows() == [row]
