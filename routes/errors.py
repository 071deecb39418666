"""Failures -> JSON: the one place, and the one shape."""

from __future__ import annotations

import logging
from difflib import get_close_matches

from flask import Flask, Response, current_app, jsonify, request
from typing_extensions import TypedDict
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from services.errors import InsightsError

log = logging.getLogger(__name__)


class ErrorBody(TypedDict):
    """What every error says: show `message`, branch on `code`."""

    error: bool
    code: str
    message: str
    hint: str | None
    provider: str | None
    reference: str | None
    retry_after: int | None
    request_id: str


# What werkzeug refuses, in our codes.
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    414: "uri_too_long",
    431: "headers_too_large",
}
BUG = "The gateway has a bug; its log has the details under this request id."


def error_body(
    code: str,
    message: str,
    *,
    request_id: str,
    hint: str | None = None,
    provider: str | None = None,
    reference: str | None = None,
    retry_after: int | None = None,
) -> ErrorBody:
    """Return the one error shape."""
    return {
        "error": True,
        "code": code,
        "message": message,
        "hint": hint,
        "provider": provider,
        "reference": reference,
        "retry_after": retry_after,
        "request_id": request_id,
    }


def register(app: Flask) -> None:
    """Handle our own tree, werkzeug's errors, and bugs."""
    app.register_error_handler(InsightsError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _bug)


def _ours(error: InsightsError) -> Response:
    return _reply(
        error.status,
        error_body(
            error.code,
            error.message,
            hint=error.hint,
            provider=getattr(error, "provider", None),
            reference=getattr(error, "reference", None),
            retry_after=error.retry_after,
            request_id=_request_id(),
        ),
    )


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = [(name, value) for name, value in error.get_headers() if name.lower() not in {"content-type", "location"}]
    message, hint = f"{error.name}.", "Accepted: what GET /openapi.json describes."
    if isinstance(error, NotFound):
        message, hint = "There is no such path.", f"{_nearest_path()}GET /openapi.json lists every path."
    elif isinstance(error, MethodNotAllowed):
        message = f"This path does not take {request.method}."
        hint = f"Accepted: {', '.join(sorted(error.valid_methods or ()))}."
    body = error_body(HTTP_CODES.get(status, "http_error"), message, hint=hint, request_id=_request_id())
    response = _reply(status, body)
    response.headers.extend(headers)
    return response


def _nearest_path() -> str:
    paths = [rule.rule for rule in current_app.url_map.iter_rules()]
    near = get_close_matches(request.path, paths, n=1)
    return f"Did you mean {near[0]}? " if near else ""


def _bug(error: Exception) -> Response:
    log.error("A request failed by a bug", exc_info=error)
    return _reply(500, error_body("internal_error", BUG, request_id=_request_id()))


def _reply(status: int, body: ErrorBody) -> Response:
    response = jsonify(body)
    response.status_code = status
    if body["retry_after"] is not None:
        response.headers["Retry-After"] = str(body["retry_after"])
    response.headers["Cache-Control"] = "no-store"
    return response


def _request_id() -> str:
    return str(request.environ.get("insights.request_id", ""))
