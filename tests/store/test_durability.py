"""How the databases are written: what was paid for survives a power cut, what can be fetched again need not."""

from __future__ import annotations

import pytest

from services.store.store import Store
from tests.support import new_instance

NORMAL, FULL = 1, 2  # the values of the pragma


@pytest.mark.parametrize("kind", ["read", "write"])
def test_commits_of_the_gateway_database_wait_for_the_disk_and_those_of_the_memory_do_not(kind):
    store = Store.open("", new_instance(), mode="live")
    found = {}
    for database in store.databases:
        with getattr(database, kind)() as connection:
            found[database.name] = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    store.close()

    assert found == {"memory": NORMAL, "gateway": FULL}
