"""Which account a media belongs to and what never changes of it: remembered from everything that lists media."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import replace

from services import request_context
from services.clients.graph.models import Account, Item, media_id_of
from services.days import parse_provider_time
from services.store.database import DatabaseUnavailableError
from services.store.media import MediaRow, MediaTable
from services.store.types import MAX_NAME

MAX_KNOWN = 50_000  # media that this process remembers without the database
MAX_TYPE = 32  # characters


class MediaIndex:
    """The media that this gateway has seen; without the database those that this process has seen."""

    def __init__(self, table: MediaTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._known: OrderedDict[str, MediaRow] = OrderedDict()  # least recently used first

    def find(self, media_id: str) -> MediaRow | None:
        """Return what is known of a media; None where nothing is, or the caller may not see its account.

        A media of an account that the caller may not see takes the same time as one that does not exist: what this
        process knows of it is not used.
        """
        sees = request_context.caller().sees
        with self._lock:
            if (known := self._known.get(media_id)) is not None and sees(known.account):
                self._known.move_to_end(media_id)
                return known
        try:
            found = self._table.read([media_id]).get(media_id)
        except DatabaseUnavailableError:
            return None
        if found is None or not sees(found.account):
            return None
        self._note([found])
        return found

    def saw(self, account: Account, items: Sequence[Item]) -> None:
        """Remember media that Instagram listed for their account; what is known already costs no statement."""
        rows = {row.id: row for item in items if (row := media_row(item, account.id)) is not None}
        with self._lock:
            completed = {row.id: _completed(row, self._known.get(row.id)) for row in rows.values()}
            new = [row for row in completed.values() if self._known.get(row.id) != row]
        if not new:
            return
        self._note(new)
        try:
            self._table.put(new)
        except DatabaseUnavailableError:
            return  # The next list brings them again, to a process that does not know them.

    def _note(self, rows: Collection[MediaRow]) -> None:
        with self._lock:
            for row in rows:
                self._known[row.id] = row
                self._known.move_to_end(row.id)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)


def _completed(row: MediaRow, known: MediaRow | None) -> MediaRow:
    """Return a row with what is known of the same media where the new row lacks it."""
    if known is None:
        return row
    return replace(
        row,
        product_type=row.product_type or known.product_type,
        media_type=row.media_type or known.media_type,
        created_at=known.created_at if row.created_at is None else row.created_at,
    )


def media_row(item: Item, account: str) -> MediaRow | None:
    """Read a media as a node or a list has it; None where it has no id."""
    media_id = media_id_of(item)
    if media_id is None or len(media_id) > MAX_NAME:
        return None
    posted = parse_provider_time(item.get("timestamp"))
    return MediaRow(
        media_id,
        account,
        product_type=_type(item.get("media_product_type")),
        media_type=_type(item.get("media_type")),
        created_at=None if posted is None else posted.timestamp(),
        has_link=isinstance(item.get("permalink"), str),
    )


def _type(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TYPE else None
