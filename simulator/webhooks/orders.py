"""What the simulator's own paths about webhooks take, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from simulator.messages import BadInputError
from simulator.webhooks.changes import SHAPES, Change
from simulator.webhooks.packing import MOST_CHANGES, Packing
from simulator.webhooks.sender import address
from simulator.webhooks.subscriptions import LOGINS
from simulator.world.accounts import IG_ID

FIELDS = ("story_insights", "comments", "live_comments", "mentions")  # of the app's dashboard
SENDING = ("clock", "call")
MOST_INVENTED = 50_000  # by one call
PACKING = tuple(field.name for field in fields(Packing))

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Callback:
    """Where the deliveries of a login go, and how they are put together."""

    login: str
    url: str
    verify_token: str
    fields: tuple[str, ...]
    packing: Packing


@dataclass(frozen=True)
class SendOrder:
    """What is to be delivered: given changes, or so many invented ones of a field."""

    login: str
    changes: tuple[Change, ...]
    account: str | None
    field: str
    count: int
    packing: Packing


def callback_order(body: Json) -> tuple[Callback, str]:
    """Read where deliveries are to go, and what lets them go: the clock, or calls of `/webhooks/run`."""
    known = ("login", "callback_url", "verify_token", "fields", "sending", *PACKING)
    _check_names(body, known)
    url, token, wanted = body.get("callback_url"), body.get("verify_token"), body.get("fields", list(FIELDS))
    if not isinstance(url, str) or not isinstance(token, str) or not token:
        raise BadInputError("callback_url and verify_token must be texts")
    address(url)
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        raise BadInputError("fields must be a list of names such as story_insights")
    callback = Callback(
        login=_one_of(body, "login", LOGINS),
        url=url,
        verify_token=token,
        fields=tuple(wanted),
        packing=_packing(body, Packing()),
    )
    return callback, _one_of(body, "sending", SENDING)


def send_order(body: Json, *, default: Packing, now: float) -> SendOrder:
    """Read what is to be delivered."""
    _check_names(body, ("login", "changes", "account", "field", "count", *PACKING))
    changes, account, field = body.get("changes", []), body.get("account"), body.get("field", "comments")
    if ("changes" in body) == bool({"account", "field", "count"} & set(body)):
        raise BadInputError("give either changes, or some of account, field and count")
    if not isinstance(changes, list) or not isinstance(field, str) or not field:
        raise BadInputError("changes must be a list, field a name")
    return SendOrder(
        login=_one_of(body, "login", LOGINS),
        changes=tuple(_change(change, now) for change in changes),
        account=None if account is None else str(account),
        field=field,
        count=_whole(body, "count", 1, 1, MOST_INVENTED),
        packing=_packing(body, default),
    )


def run_order(body: Json) -> bool:
    """Read whether deliveries that wait for a later attempt are to go out at once."""
    _check_names(body, ("hurry",))
    return _flag(body, "hurry", default=False)


def _change(change: Any, now: float) -> Change:
    if not isinstance(change, dict) or "value" not in change:
        raise BadInputError("a change has account, field and value, and may have a time")
    _check_names(change, ("account", "field", "value", "time"))
    account, field = str(change.get("account")), change.get("field")
    if not IG_ID.fullmatch(account) or not isinstance(field, str) or not field:
        raise BadInputError("a change has the id of an account and the name of a field")
    return Change(account, field, change["value"], _whole(change, "time", int(now), 0, 10**11))


def _packing(body: Json, default: Packing) -> Packing:
    return Packing(
        shape=_one_of(body, "shape", SHAPES, default.shape),
        batch=_whole(body, "batch", default.batch, 1, MOST_CHANGES),
        duplicates=_share(body, "duplicates", default.duplicates),
        forged=_share(body, "forged", default.forged),
        shuffle=_flag(body, "shuffle", default=default.shuffle),
        seed=_whole(body, "seed", default.seed, 0, 10**9),
    )


def _check_names(body: Json, known: Sequence[str]) -> None:
    unknown = [name for name in body if name not in known]
    if unknown:
        raise BadInputError(f"unknown {unknown[0]}; accepted: {', '.join(known)}")


def _one_of(body: Json, name: str, accepted: Sequence[str], default: str | None = None) -> str:
    value = body.get(name, default or accepted[0])
    if value not in accepted:
        raise BadInputError(f"{name} takes one of {', '.join(accepted)}")
    return str(value)


def _whole(body: Json, name: str, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInputError(f"{name} takes a whole number from {low} to {high}")
    return value


def _share(body: Json, name: str, default: float) -> float:
    value = body.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise BadInputError(f"{name} takes a number from 0 to 1")
    return float(value)


def _flag(body: Json, name: str, *, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise BadInputError(f"{name} takes true or false")
    return value
