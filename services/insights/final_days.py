"""From when on a day is final: Meta still changes its values for two days after its end, follows for three.

A known value that was read later never changes again; one that was read before is provisional and is read again.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from services.days import pacific_day

PROVISIONAL_HOURS = 48
PROVISIONAL_HOURS_OF_FOLLOWS = 72


def first_provisional(read_at: datetime, final_after: float) -> date:
    """Return the first Pacific day whose values, read at a moment, may still change for some hours after its end."""
    return pacific_day(read_at - timedelta(hours=final_after))
