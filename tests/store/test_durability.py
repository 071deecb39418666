"""How the databases are written: what was paid for survives a power cut, what can be fetched again need not."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from services.store.ledger import Opened, Order
from services.store.settlement_spool import SettlementSpool
from services.store.store import Store
from tests.support import new_instance

NORMAL, FULL = 1, 2  # the values of the pragma


@pytest.mark.parametrize("kind", ["read", "write"])
def test_commits_of_the_gateway_database_wait_for_the_disk_and_those_of_the_memory_do_not(kind):
    folder = new_instance()
    for file in Path(folder).glob("*.db"):
        with closing(sqlite3.connect(file)) as restored:  # A restored file has no log until a gateway uses it.
            restored.execute("PRAGMA journal_mode=DELETE")
    store = Store.open("", folder, mode="live")
    found = {}
    for database in store.databases:
        with getattr(database, kind)() as connection:
            found[database.name] = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    store.close()

    assert found == {"memory": NORMAL, "gateway": FULL}


def test_a_settlement_in_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_is_then(tmp_path, monkeypatch):
    folder, written = tmp_path / "unbooked", []

    def fsync(descriptor):
        of_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        written.append((of_folder, [path.name for path in folder.glob("*.json")]))

    monkeypatch.setattr(os, "fsync", fsync)
    order = Order("modash", "nasa", "anonymous", price=250, limit=1000, longest_call=30, max_retries=3)

    SettlementSpool(str(tmp_path), mode="live").put(Opened(7, order, 1.5), "{}")

    assert written == [(False, []), (True, ["live-7-1500.json"])]
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]
