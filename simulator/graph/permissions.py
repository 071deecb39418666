"""What a login that went wrong may not read."""

from simulator.graph.error_table import PERMISSION_TEXTS
from simulator.graph.errors import GraphError, missing_object
from simulator.graph.scope import Scope

PERMISSION = 10


def check_reads(scope: Scope, object_id: str) -> None:
    """Refuse the account itself where its login may not read it."""
    state = scope.caller.state
    if state is None or state.reads == "answered":
        return
    if state.reads == "missing":
        raise missing_object(object_id)
    raise GraphError(PERMISSION_TEXTS[PERMISSION], PERMISSION)


def are_insights_empty(scope: Scope) -> bool:
    """Return whether insights come empty for want of the permission; refuse them where they are refused."""
    state = scope.caller.state
    if state is not None and state.insights == "permission":
        raise GraphError(PERMISSION_TEXTS[PERMISSION], PERMISSION)
    return state is not None and state.insights == "empty"
