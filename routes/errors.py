"""Failures as JSON: the one place that writes them, in one shape."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Flask, Response, current_app, jsonify, request
from typing_extensions import TypedDict
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from routes.context import redaction
from routes.suggestions import nearest_paths
from services.errors import InsightsError
from services.rendering.nearest_name import did_you_mean

log = logging.getLogger(__name__)


class ErrorBody(TypedDict):
    """The body of every error: show `message`, branch on `code`."""

    error: bool
    code: str
    message: str
    hint: str | None
    provider: str | None
    reference: str | None
    retry_after: int | None
    request_id: str


# The statuses with which werkzeug refuses a request, and our codes for them.
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    414: "uri_too_long",
    431: "headers_too_large",
}
UNAUTHORIZED_CODE = "unauthorized"  # where `front` finds no valid API key
RATE_LIMITED_CODE = "rate_limited"  # what `front` refuses with 429: the caller sends too many requests
# What `front` refuses with 403 on every path.
FORBIDDEN_CODES = ("host_not_allowed", "origin_not_allowed")
# On every reply. A browser takes none for another type than it says (a script, a style, a page), and pages of other
# origins cannot embed one as an image or a script, nor show one in a frame.
SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
)
UNEXPECTED_ERROR = "An unexpected error happened in the gateway; its log has the details under this request id."


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
    """Return the body of an error."""
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
    """Register the handlers: for our own errors, for werkzeug's, and for any other exception."""
    app.register_error_handler(InsightsError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


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
        message, hint = "There is no such path.", f"{_nearest_path()} GET /openapi.json lists every path.".lstrip()
    elif isinstance(error, MethodNotAllowed):
        message = f"This path does not take {request.method}."
        hint = f"Accepted: {', '.join(sorted(error.valid_methods or ()))}."
    body = error_body(HTTP_CODES.get(status, "http_error"), message, hint=hint, request_id=_request_id())
    response = _reply(status, body)
    response.headers.extend(headers)
    return response


def _nearest_path() -> str:
    rules = [rule.rule for rule in current_app.url_map.iter_rules()]
    return nearest_paths(request.path, rules) or did_you_mean(request.path, [rule for rule in rules if "<" not in rule])


def _unexpected(error: Exception) -> Response:
    log.error("An unexpected error ended a request", exc_info=error)
    return _reply(500, error_body("internal_error", UNEXPECTED_ERROR, request_id=_request_id()))


def redacted(body: ErrorBody, redact: Callable[[str], str]) -> ErrorBody:
    """Return the body of an error without secrets: it may repeat what a caller sent, such as an API key."""
    message, hint = redact(body["message"]), body["hint"]
    return {**body, "message": message, "hint": None if hint is None else redact(hint)}


def _reply(status: int, body: ErrorBody) -> Response:
    body = redacted(body, redaction().reply)
    request.environ["insights.failure"] = body  # for the log line of the request
    response = jsonify(body)
    response.status_code = status
    if body["retry_after"] is not None:
        response.headers["Retry-After"] = str(body["retry_after"])
    response.headers["Cache-Control"] = "no-store"
    return response


def _request_id() -> str:
    return str(request.environ.get("insights.request_id", ""))
