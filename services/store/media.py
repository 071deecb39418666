"""Which account each media belongs to, and what never changes of it: noted as lists of posts and stories are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from services.store.database import Database, chunks
from services.store.history_tables import media
from services.store.upsert import Upsert, excluded

CHANGING = ("product_type", "media_type", "created_at")


@dataclass(frozen=True)
class MediaRow:
    """A media: its owner, its types as Instagram names them, and when it was posted (Unix seconds); None is unknown.

    A media without a link is a picture or video within an album.
    """

    id: str
    account: str
    product_type: str | None = None
    media_type: str | None = None
    created_at: float | None = None
    has_link: bool = True


PUT = Upsert(
    media,
    replace={
        **{name: excluded(media.c[name]) for name in ("account", "has_link")},
        **{name: func.coalesce(excluded(media.c[name]), media.c[name]) for name in CHANGING},
    },
)


class MediaTable:
    """The media of the gateway database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, ids: Collection[str]) -> dict[str, MediaRow]:
        """Return what is known of some media."""
        found: dict[str, MediaRow] = {}
        with self._database.read() as connection:
            for chunk in chunks(ids):
                for row in connection.execute(select(media).where(media.c.id.in_(chunk))):
                    known = (row.product_type, row.media_type, row.created_at)
                    found[row.id] = MediaRow(row.id, row.account, *known, has_link=bool(row.has_link))
        return found

    def put(self, rows: Sequence[MediaRow]) -> None:
        """Add media, or replace what is known of them; what is unknown now stays as it was."""
        with self._database.write() as connection:
            for chunk in chunks(sorted(rows, key=lambda row: row.id)):  # In one order: no deadlock.
                values = [vars(row) | {"has_link": int(row.has_link)} for row in chunk]
                PUT.run(connection, values)
