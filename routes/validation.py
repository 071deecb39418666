"""The decorator that gives a view its query string as a model, or refuses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar

from flask import current_app, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from routes.access import REFRESH, is_local, require_refresh
from routes.context import current_request
from routes.query_string import Parameters, parameters_of
from routes.suggestions import nearest_paths, unknown_parameter
from services.errors import InsightsError, InvalidRequestError
from services.rendering.plurals import counted

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MOST_NAMED = 5  # unknown parameters that a message repeats
Query = TypeVar("Query", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., ResponseReturnValue])


def takes(
    model: type[Query],
) -> Callable[[Callable[[Query], ResponseReturnValue]], Callable[..., ResponseReturnValue]]:
    """Pass the query string to the view as a model, or refuse it, naming each parameter and what it accepts.

    The variable parts of the path are fields of the model too.
    """

    def decorate(view: Callable[[Query], ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
        @wraps(view)
        def wrapped(**path: str) -> ResponseReturnValue:
            environ = current_request().environ
            query = _parse(model, path, environ)
            if getattr(query, "refresh", False):
                require_refresh(environ)
            elif (
                environ.get(REFRESH) and "refresh" in model.model_fields and getattr(model, "refreshes_by_header", True)
            ):
                query = query.model_copy(update={"refresh": True})
            return view(query)

        wrapped.query_model = model  # type: ignore[attr-defined]  # The OpenAPI document is made from it.
        return wrapped

    return decorate


def fails_with(*errors: type[InsightsError]) -> Callable[[View], View]:
    """Note which failures a view has, where these are fewer than those of an endpoint that reads a provider."""

    def decorate(view: View) -> View:
        view.failures = errors  # type: ignore[attr-defined]  # The OpenAPI document is made from it.
        return view

    return decorate


def _parse(model: type[Query], path: Mapping[str, str], environ: WSGIEnvironment) -> Query:
    pairs = parameters_of(environ)
    given, known = dict(pairs), parameters(model)
    if len(given) < len(pairs) or not given.keys() <= known.keys() or not path.keys().isdisjoint(given):
        given = _accepted_once(model, path, pairs)
    try:
        return model.model_validate({**given, **path})
    except ValidationError as error:
        faults = [_fault(fault) for fault in error.errors(include_url=False)]
        if any(fault["loc"][0] in path for fault in error.errors()):
            faults.append(nearest_paths(request.path, [rule.rule for rule in current_app.url_map.iter_rules()]))
        message = " ".join(fault.strip() for fault in faults if fault)
        raise InvalidRequestError(message, hint=_accepted(model, error)) from None


def _accepted_once(model: type[BaseModel], path: Mapping[str, str], pairs: Parameters) -> dict[str, str]:
    """Return the parameters that the model ignores none of; refuse unknown ones, and those that come twice."""
    known = tuple(name for name in parameters(model) if name not in path)
    if model.model_config.get("extra") == "ignore":
        pairs = [pair for pair in pairs if pair[0] in known]
    times = Counter(name for name, _ in pairs)
    unknown = [name for name in times if name not in known]
    faults = [unknown_parameter(name, known) for name in unknown[:MOST_NAMED]]
    if len(unknown) > MOST_NAMED:
        others = counted(len(unknown) - MOST_NAMED, "other is not a parameter", "others are not parameters")
        faults.append(f"{others} either.")
    faults += [f"{name} is given {times[name]} times; once is accepted." for name in known if times[name] > 1]
    if faults:
        raise InvalidRequestError(" ".join(faults), hint=f"Accepted parameters: {', '.join(known) or 'none'}.")
    return dict(pairs)


@cache
def parameters(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a query model by the names that they have in a query."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def is_local_caller() -> bool:
    """Return whether the caller is on this machine and no proxy forwards the request."""
    return is_local(request.environ)


def _fault(fault: Any) -> str:
    name = fault["loc"][0]
    if fault["type"] == "missing":
        return f"{name} is missing."
    if fault["type"] == "value_error":
        return f"{name}: {fault['ctx']['error']}"
    return f"{name}: {fault['msg']}."


def _accepted(model: type[BaseModel], error: ValidationError) -> str:
    missing = dict.fromkeys(str(fault["loc"][0]) for fault in error.errors() if fault["type"] == "missing")
    fields = parameters(model)
    descriptions = " ".join(f"{name}: {fields[name].description}" for name in missing)
    return descriptions or "GET /openapi.json describes every parameter."
