"""Answers as JSON or CSV with an ETag; `front` adds the headers for their age."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from flask import Request, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from routes.context import current_request, redaction
from routes.etag import etag_of
from routes.json_encoding import Body, encode_fields
from routes.query_string import parameters_of
from services.answers import Answer, Table
from services.rendering.csv_cells import BOM, cells, csv_lines
from services.rendering.prepared_parts import PreparedPart, digest_of, text_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
CSV_IN_UTF_8 = f"{CSV}; charset=utf-8"
MATCHING = frozenset({JSON, NDJSON, CSV, "application/*", "text/*", "*/*"})
MAX_ACCEPTED, MAX_ACCEPTED_ITEM = 20, 100  # items of an Accept header, and characters of one
# The parameters that say which time a table is about.
RANGES = ("period", "time_range", "interval", "timeframe", "since", "until")
# Every file system takes these characters in a name.
UNSAFE = re.compile(r"[^\w.-]+|^[.-]+")
MAX_PART = 80  # characters; most file systems take 255 bytes in a name


def reply(answer: Answer, *, format_: str | None = None, cacheable: bool = True) -> ResponseReturnValue:
    """Return the answer as JSON or, if the caller wants it and there is a table, as CSV.

    `cacheable` lets the response cache serve the reply until it expires.
    """
    current = current_request()
    environ = current.environ
    is_csv = answer.table is not None and prefers_csv(format_)
    if answer.table is not None and is_csv:
        body, named_by = _csv(answer.table)
        headers = [("Content-Type", CSV_IN_UTF_8), ("Content-Disposition", attachment(_file_name(answer, current)))]
    else:
        body, named_by = encode_fields(answer.as_json())
        headers = [("Content-Type", JSON)]
    shown = _without_credentials(current, body, is_json=not is_csv)
    if shown is not body:
        body = named_by = shown
    headers += [("Content-Length", str(len(body))), ("Vary", "Accept")]
    if answer.status == HTTPStatus.OK and cacheable:
        headers.append(("ETag", etag_of(named_by)))
        environ["insights.provenance"] = answer.provenance
    else:
        headers.append(("Cache-Control", "no-store"))
    if answer.retry_after is not None:
        headers.append(("Retry-After", str(answer.retry_after)))
    return CompleteResponse(body, answer.status, headers)


class CompleteResponse(Response):
    """A response with all its headers, to which Flask adds nothing: it takes a quarter of the time of another one.

    It has none of the attributes of its class, because nothing of this gateway reads them.
    """

    def __init__(self, body: bytes, status: int, headers: list[tuple[str, str]]) -> None:
        self._complete = body, f"{status} {HTTPStatus(status).phrase.upper()}", headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it, as any WSGI application."""
        body, status, headers = self._complete
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _without_credentials(current: Request, body: bytes, *, is_json: bool) -> bytes:
    """Return the body; if the caller wrote a credential, such as a token in place of an account, without that.

    A reply repeats what was asked for in many places: names of accounts, messages of nested errors, `meta`.
    """
    credentials = redaction()
    if credentials.are_clean([current.path, *chain(*parameters_of(current.environ))]):
        return body
    return credentials.reply_body(body.decode(), is_json=is_json).encode()


def prefers_csv(format_: str | None, otherwise: str = JSON) -> bool:
    """Return whether the caller wants CSV and not the other type: by the parameter, else by the Accept header."""
    return format_ == "csv" or (format_ is None and negotiated(request.headers.get("Accept", ""), otherwise) == CSV)


def negotiated(accept: str, otherwise: str = JSON) -> str:
    """Return the type that an Accept header prefers: CSV or the other one, which is also the answer to all else.

    Parsing takes up to 50 microseconds for each item, so only those are parsed that can match, and no more than a
    caller can mean.
    """
    items = (item for item in accept.split(",") if len(item) <= MAX_ACCEPTED_ITEM)
    matching = (item for item in items if item.partition(";")[0].strip().lower() in MATCHING)
    few = ",".join(islice(matching, MAX_ACCEPTED))
    return parse_accept_header(few, MIMEAccept).best_match([otherwise, CSV], otherwise) or otherwise


def streamed(parts: Iterator[str], *names: str, format_: str) -> Response:
    """Return a file that is sent part by part, and never cached: it can be larger than the memory."""
    content_type = CSV_IN_UTF_8 if format_ == "csv" else NDJSON
    response = Response((part.encode() for part in parts), content_type=content_type)
    response.headers["Content-Disposition"] = attachment(
        f"{'-'.join([*map(_safe, names), *_range(request.environ)])}.{format_}"
    )
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("Accept")
    request.environ["insights.streamed"] = True
    return response


def attachment(file_name: str) -> str:
    """Return the header that names a file (RFC 6266); a name beyond ASCII comes twice, for old and for new browsers."""
    simple = file_name.encode("ascii", "replace").decode().replace("?", "_")
    extended = "" if simple == file_name else f"; filename*=UTF-8''{quote(file_name, safe='')}"
    return f'attachment; filename="{simple}"{extended}'


def _file_name(answer: Answer, current: Request) -> str:
    """Return endpoint, id of the path, account and range, such as `top-posts-corner.bakery-30d.csv`."""
    endpoint = (current.endpoint or "").rpartition(".")[2].replace("_", "-")
    meta = answer.meta
    account = meta.get("username") or meta.get("creator") or meta.get("account") or ""
    names = [endpoint, *(current.view_args or {}).values(), account]
    window = meta.get("window")
    days = _range(current.environ) or ([str(window["since"]), str(window["until"])] if isinstance(window, dict) else [])
    return f"{'-'.join(filter(None, [*map(_safe, map(str, names)), *days]))}.csv"


def _range(environ: WSGIEnvironment) -> list[str]:
    """Return the parameters about time, as they are part of a file name."""
    parameters = dict(parameters_of(environ))
    return [_safe(given.strip()) for name in RANGES if (given := parameters.get(name))]


def _safe(name: str) -> str:
    return (name if name.isalnum() else UNSAFE.sub("_", name))[:MAX_PART]


def _csv(table: Table) -> Body:
    head = _csv_head(tuple(table.columns))
    rows = list(table.rows)
    if set(map(type, rows)) == {PreparedPart}:
        lines = list(filter(text_of, cast("list[PreparedPart]", rows)))
        return Body(b"".join([head, *map(text_of, lines)]), b"".join([head, *map(digest_of, lines)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        if isinstance(row, PreparedPart):
            text.write(row.text.decode())
        elif isinstance(row, str):
            text.write(row)
        else:
            writer.writerow(row if isinstance(row, tuple) else cells(map(row.get, table.columns)))
    whole = head + text.getvalue().encode()
    return Body(whole, whole)


@lru_cache(maxsize=64)
def _csv_head(columns: Sequence[str]) -> bytes:
    return f"{BOM}{csv_lines([columns])}".encode()
