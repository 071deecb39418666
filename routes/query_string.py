"""The parameters of a request as they were sent, read once for the response cache and for the query model."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

KEY = "insights.parameters"  # of the environment
Parameters = list[tuple[str, str]]


def parameters_of(environ: WSGIEnvironment) -> Parameters:
    """Return names and values in the order of the query; the same name may come several times."""
    known: Parameters | None = environ.get(KEY)
    if known is None:
        known = environ[KEY] = _parsed(environ.get("QUERY_STRING", ""))
    return known


def _parsed(query: str) -> Parameters:
    if "%" not in query and "+" not in query and query.isascii():  # Nothing is escaped in most queries.
        parts = map(str.partition, filter(None, query.split("&")), repeat("="))
        return [(name, value) for name, _, value in parts]
    # As Flask reads it: what is no UTF-8 keeps its escapes.
    text = query.encode("latin-1").decode(errors="replace")
    return parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")
