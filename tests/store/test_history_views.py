"""The views for BI tools have what an export has: a new table of history needs a place in them too."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from services.export import Export
from services.store.exported_tables import SECTIONS
from services.store.line_fields import moment_of
from services.store.store import Store
from services.store.transfer import Selection
from tests.history.transfer.history_rows import fill
from tests.stores import new_store, query, server
from tests.support import ROOT

COLUMNS = (
    *("account", "kind", "metric", "breakdown", "bucket", "date", "first_day", "media"),
    *("value", "reason", "final", "source", "api_version", "read_at"),
)
RECIPES = ROOT / "docs" / "recipes.md"
UNREADABLE = "\ufffd"


def as_shown(name, cell):
    """A cell of a line as the view has it."""
    if cell is None:
        return None
    if name == "bucket":
        return UNREADABLE if cell == '["\\ud83d"]' else cell
    return {"value": float, "read_at": lambda text: round(moment_of(text), 4)}.get(name, lambda same: same)(cell)


def as_line(name, cell):
    if name == "read_at":
        return round(cell.astimezone(UTC).timestamp(), 4)
    return cell.isoformat() if name in {"date", "first_day"} and cell is not None else cell


def test_the_views_have_the_live_rows_of_every_table():
    with new_store("postgresql") as settings:
        for mode, account in (("sandbox", "17841400000000002"), ("live", "17841400000000001")):
            store = Store.open(settings["DATABASE_URL"], "", mode=mode)
            fill(store, accounts=[account])
            text = "".join(Export(store.transfer, None, mode=mode, clock=None).text([account], Selection(), "ndjson"))
            store.close()

        rows = query(settings, "gateway", f"SELECT {', '.join(COLUMNS)} FROM insights_history")
        media = query(settings, "gateway", "SELECT account, kind, media FROM insights_media")
        recipes = re.findall(r"^```sql\n(SELECT.*?)^```", RECIPES.read_text(), re.MULTILINE | re.DOTALL)
        for recipe in recipes:
            filled = recipe.replace("{{account}}", f"'{account}'")
            query(
                settings, "gateway", re.sub(r"\$__timeFilter\((.*?)\)", r"\1 < now()", filled).replace("::", "\\:\\:")
            )

        with psycopg.connect(settings["DATABASE_URL"], options="-c enable_seqscan=off") as connection:
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {recipes[0]}"))

    assert len(recipes) == 4
    conditions = re.findall(r"Index Cond: (.*)", plan)
    assert conditions
    assert all("metric)::text = 'reach'" in condition for condition in conditions)
    lines = [json.loads(line) for line in text.splitlines()]
    numbers = [line for line in lines if line["metric"] is not None]
    wanted = [tuple(as_shown(name, line[name]) for name in COLUMNS) for line in numbers]
    found = [tuple(map(as_line, COLUMNS, row)) for row in rows]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    assert sorted(media) == sorted(
        (line["account"], line["kind"], line["media"]) for line in lines if line not in numbers
    )
    assert {row[1] for row in found} | {row[1] for row in media} == {section.kind for section in SECTIONS}


def test_the_role_of_the_recipes_reads_the_views_and_nothing_else():
    (statements,) = re.findall(r"^```sql\n(CREATE ROLE.*?)^```", RECIPES.read_text(), re.MULTILINE | re.DOTALL)
    role = f"test_{uuid.uuid4().hex[:16]}"
    with new_store("postgresql") as settings, server(settings["DATABASE_URL"]) as owner:
        try:
            owner.execute(statements.replace("insights_reader", role))
            reader = make_conninfo(settings["DATABASE_URL"], user=role, password="choose one")
            with psycopg.connect(reader, autocommit=True) as connection:
                for view in ("insights_history", "insights_media"):
                    assert connection.execute(f"SELECT * FROM {view}").fetchall() == []
                for table in (*(section.table.name for section in SECTIONS), "accounts", "api_keys"):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(f"SELECT * FROM {table}")
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    connection.execute("CREATE TABLE own (id integer)")
                assert connection.execute("SHOW statement_timeout").fetchone() == ("1min",)
        finally:
            owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
