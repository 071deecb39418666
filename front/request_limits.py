"""Limits of what a request may send: its length, its encoding, its body."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from services.webhooks.handshake import WEBHOOK_PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_URL = 8000  # characters of path and query; real requests stay far below
MAX_PARAMETERS = 100  # no endpoint has more than a few
MAX_BODY = 64 * 1024  # bytes; only the webhook has a use for a body
WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
# A delivery has up to 1,000 changes; a comment up to 2,200 characters, each of 6 bytes where it is escaped.
MAX_DELIVERY = 16 * 1024 * 1024  # bytes


class Refusal(NamedTuple):
    """Why a request is refused, and what is accepted."""

    status: HTTPStatus
    message: str
    hint: str
    code: str = ""  # empty: the one code of the status
    headers: tuple[tuple[str, str], ...] = ()
    retry_after: int | None = None  # seconds


def refusal_of(environ: WSGIEnvironment) -> Refusal | None:
    """Return why a request exceeds the limits, or None if it does not."""
    return _refusal_of_url(environ) or _refusal_of_body(environ)


def _refusal_of_url(environ: WSGIEnvironment) -> Refusal | None:
    query = environ.get("QUERY_STRING", "")
    if len(environ.get("PATH_INFO", "")) + len(query) > MAX_URL:
        return Refusal(
            HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long.", f"Accepted: at most {MAX_URL} characters."
        )
    if has_too_many_parameters(query):
        hint = f"Accepted: at most {MAX_PARAMETERS}."
        return Refusal(HTTPStatus.BAD_REQUEST, "The query has too many parameters.", hint)
    if not _is_utf_8(query):
        return Refusal(HTTPStatus.BAD_REQUEST, "The query is not UTF-8.", "Accepted: UTF-8, percent-encoded.")
    return None


def _refusal_of_body(environ: WSGIEnvironment) -> Refusal | None:
    if "HTTP_TRANSFER_ENCODING" in environ:
        hint = "Accepted: no body, or one with Content-Length."
        return Refusal(HTTPStatus.BAD_REQUEST, "The body has no Content-Length.", hint)
    length = environ.get("CONTENT_LENGTH")
    if not length:
        return None
    if not re.fullmatch(r"[0-9]{1,20}", length):
        return Refusal(HTTPStatus.BAD_REQUEST, "Content-Length is not a length.", "Accepted: a whole number of bytes.")
    if int(length) and environ["REQUEST_METHOD"] in WITHOUT_BODY:
        message = f"A {environ['REQUEST_METHOD']} request has no body here."
        return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "Accepted: parameters in the query, and no body.")
    is_delivery = environ.get("PATH_INFO") == WEBHOOK_PATH and environ["REQUEST_METHOD"] == "POST"
    limit = MAX_DELIVERY if is_delivery else MAX_BODY
    if int(length) > limit:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.", f"Accepted: at most {limit} bytes."
        )
    return None


def has_body(environ: WSGIEnvironment) -> bool:
    """Return whether a request says that it has a body; whether it may have one is not decided by that."""
    return bool(environ.get("CONTENT_LENGTH")) or "HTTP_TRANSFER_ENCODING" in environ


def has_too_many_parameters(query: str) -> bool:
    """Return whether a query costs too much to be read: thousands of parameters fit into a URL."""
    return query.count("&") >= MAX_PARAMETERS


def _is_utf_8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return True
