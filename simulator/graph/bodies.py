"""Parameters in the body of a request: forms, multipart forms and JSON, which count like those of the query."""

import json
from dataclasses import replace
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl, urlencode

from simulator.graph.errors import parameter
from simulator.messages import Request

FORM = "application/x-www-form-urlencoded"
METHODS = ("GET", "POST", "DELETE")


def unpacked(request: Request) -> Request:
    """Return a request with the parameters of its body in its query, and the method that its `method` names.

    So clients read with POST where an address would be too long. Refuses JSON that is none.
    """
    pairs = request.pairs + _of_body(request)
    wanted = dict(pairs).get("method", "").upper()
    method = wanted if wanted in METHODS else request.method
    kept = [(name, value) for name, value in pairs if name != "method"] if wanted in METHODS else pairs
    return replace(request, method=method, query_string=urlencode(kept), body=b"")


def _of_body(request: Request) -> list[tuple[str, str]]:
    if not request.body:
        return []
    kind = request.headers.get("content-type", FORM)
    match kind.partition(";")[0].strip().lower():
        case "application/json":
            return _of_json(request.body)
        case "multipart/form-data":
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + request.body)
            parts = message.iter_parts() if message.is_multipart() else ()
            named = ((part.get_param("name", header="content-disposition"), part) for part in parts)
            return [(str(name), str(part.get_content()).rstrip("\r\n")) for name, part in named if name]
        case "application/x-www-form-urlencoded":
            return parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
    return []


def _of_json(body: bytes) -> list[tuple[str, str]]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise parameter("The body must be a JSON object")
    return [(name, value if isinstance(value, str) else _text(value)) for name, value in found.items()]


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
