"""The whole schema: the metadata of both databases with every table, each of which is in the module of its group."""

from __future__ import annotations

from services.store import account_tables, history_tables, job_tables, memory_tables, report_tables
from services.store.schema_versions import gateway, memory

GROUPS = (account_tables, history_tables, job_tables, memory_tables, report_tables)  # imported, so registered

__all__ = ["GROUPS", "gateway", "memory"]
