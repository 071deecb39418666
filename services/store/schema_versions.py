"""The two databases: their names, the version of each that this code needs, and the metadata of their tables.

`memory` may be deleted while the gateway and the worker are stopped, `gateway` must be kept. With PostgreSQL both are
in one database. Tables are created and changed by migrations only (`migrations/<database>/`).

Every table has a `mode` (`live` or `sandbox`), so that both can share a database and never a row. It is part of every
primary key and unique index except the numbers of reports and ledger rows. No query names it:
`services.store.live_and_sandbox` adds it to each statement.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import MetaData

MEMORY, GATEWAY = "memory", "gateway"
VERSIONS: Mapping[str, str] = {MEMORY: "0007", GATEWAY: "0021"}

memory, gateway = MetaData(), MetaData()
