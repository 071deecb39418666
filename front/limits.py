"""What is refused before anybody looks at what a request asks for."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_URL = 8000  # characters of path and query; no sensible request comes near
MAX_BODY = 64 * 1024  # bytes; no endpoint takes a body yet


def fault_of(environ: WSGIEnvironment) -> tuple[HTTPStatus, str, str] | None:
    """Return what is wrong with a request, and what is accepted, or None."""
    if len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")) > MAX_URL:
        return HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long.", f"Accepted: at most {MAX_URL} characters."
    if not _is_utf_8(environ.get("QUERY_STRING", "")):
        return HTTPStatus.BAD_REQUEST, "The query is not UTF-8.", "Accepted: UTF-8, percent-encoded."
    if "HTTP_TRANSFER_ENCODING" in environ:
        hint = "Accepted: no body, or one with Content-Length."
        return HTTPStatus.BAD_REQUEST, "The body's length is not told.", hint
    length = environ.get("CONTENT_LENGTH") or "0"
    if not re.fullmatch(r"\d{1,20}", length, re.ASCII):
        return HTTPStatus.BAD_REQUEST, "Content-Length is not a length.", "Accepted: a whole number of bytes."
    if int(length) > MAX_BODY:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.", f"Accepted: at most {MAX_BODY} bytes."
    return None


def _is_utf_8(text: str) -> bool:
    try:
        text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return True
