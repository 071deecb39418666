"""The one decorator that hands a query string to a view as a model, or refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar

from flask import request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError

from services.errors import InvalidRequestError, RefreshForbiddenError
from services.memory import asking

LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")  # A proxy on this machine speaks for others.
Query = TypeVar("Query", bound=BaseModel)


def takes(
    model: type[Query],
) -> Callable[[Callable[[Query], ResponseReturnValue]], Callable[[], ResponseReturnValue]]:
    """Hand the query string to the view as a model, or refuse it, naming each parameter and what it accepts."""

    def decorate(view: Callable[[Query], ResponseReturnValue]) -> Callable[[], ResponseReturnValue]:
        @wraps(view)
        def wrapped() -> ResponseReturnValue:
            query = _read(model)
            if getattr(query, "refresh", False):
                _read_anew()
            return view(query)

        wrapped.query_model = model  # type: ignore[attr-defined]  # The OpenAPI document is made from it.
        return wrapped

    return decorate


def _read(model: type[Query]) -> Query:
    given = request.args.to_dict(flat=False)
    known = tuple(model.model_fields)
    faults = [_unknown(name, known) for name in given if name not in known]
    faults += [f"{name} is given {len(all_)} times; once is accepted." for name, all_ in given.items() if len(all_) > 1]
    if faults:
        raise InvalidRequestError(" ".join(faults), hint=f"Accepted parameters: {', '.join(known) or 'none'}.")
    try:
        return model.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        message = " ".join(_fault(fault) for fault in error.errors(include_url=False))
        raise InvalidRequestError(message, hint=_accepted(model, error)) from None


def _read_anew() -> None:
    """Have everything read anew for this request, if its caller sits on this machine and speaks for nobody else."""
    if request.remote_addr not in LOOPBACK or any(name in request.headers for name in FORWARDED):
        raise RefreshForbiddenError(
            "refresh=true is for callers on the gateway's own machine.",
            hint="Leave it out: what has expired is read anew by itself, see meta.expires_at.",
        )
    asked = asking.current.get()
    if asked is not None:
        asked.want_anew()


def _unknown(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"{name[:60]!r} is no parameter here." + (f" Did you mean {near[0]}?" if near else "")


def _fault(fault: Any) -> str:
    name = fault["loc"][0]
    if fault["type"] == "missing":
        return f"{name} is missing."
    if fault["type"] == "value_error":
        return f"{name}: {fault['ctx']['error']}"
    return f"{name}: {fault['msg']}."


def _accepted(model: type[BaseModel], error: ValidationError) -> str:
    missing = dict.fromkeys(str(fault["loc"][0]) for fault in error.errors() if fault["type"] == "missing")
    told = " ".join(f"{name}: {model.model_fields[name].description}" for name in missing)
    return told or "GET /openapi.json describes every parameter."
