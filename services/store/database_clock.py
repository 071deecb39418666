"""The database's clock: the one that all processes share, for what the ledger says about a moment.

The clocks of the machines may differ, by an hour where one of them is set wrongly. Money must not depend on which of
them serves a request: when a call began, until when its creator is held, and which month it counts for.
"""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, select

from services.clock import Clock
from services.store.database import Database, DatabaseUnavailableError


class DatabaseClock(Clock):
    """The clock of PostgreSQL; with SQLite, whose users are on one machine, the clock of the machine.

    Between two readings it goes on by the machine's monotonic clock, which no correction of the time can move. Before
    the first one could be made it is the machine's.
    """

    def __init__(self, database: Database, machine: Clock) -> None:
        self._database = database
        self._machine = machine
        self.is_shared = database.is_postgresql
        self._reading: tuple[float, float] | None = None  # Unix seconds by the database, when monotonic

    def read(self, connection: Connection) -> float:
        """Return the present moment (Unix seconds), as the database says now."""
        if not self.is_shared:
            return self._machine.timestamp()
        moment = float(connection.execute(select(self._database.now())).scalar_one())
        self._reading = moment, self._machine.monotonic()
        return moment

    def timestamp(self) -> float:
        """Return the present moment in Unix seconds, by the last reading."""
        if self.is_shared and self._reading is None:
            with suppress(DatabaseUnavailableError), self._database.read() as connection:
                self.read(connection)
        if not self.is_shared or self._reading is None:
            return self._machine.timestamp()
        moment, measured_at = self._reading
        return moment + self._machine.monotonic() - measured_at

    def on_this_machine(self, moment: float) -> float:
        """Return what the machine's clock shows at a moment of the database's clock, for headers such as `Age`.

        In whole seconds, so that clocks that agree change nothing, and equal requests get equal answers.
        """
        return moment + round(self._machine.timestamp() - self.timestamp()) if self.is_shared else moment

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._machine.monotonic()

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._machine.wait(seconds)
