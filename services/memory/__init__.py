"""The memory in front of every provider read: nothing is asked twice, and there is always an answer."""

from __future__ import annotations

from services.memory.fetching import Outcome, Passing
from services.memory.memory import Memory
from services.memory.records import Memo
from services.memory.rules import Json, Rule

__all__ = ["Json", "Memo", "Memory", "Outcome", "Passing", "Rule"]
