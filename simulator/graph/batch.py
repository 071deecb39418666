"""Batch requests: up to 50 calls in one, each answered and counted as if it had come alone.

https://developers.facebook.com/docs/graph-api/batch-requests
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from simulator.graph.bodies import FORM
from simulator.graph.errors import GraphError, parameter
from simulator.graph.versions import VERSION, split_version
from simulator.messages import Reply, Request

MOST = 50
TYPE = "GraphBatchException"
SHARED = ("access_token", "appsecret_proof")  # An item that names its own has that.

Answer = Callable[[Request], Reply]


def is_batch(request: Request) -> bool:
    """Return whether an unpacked request is a batch."""
    _, path = split_version(request.path)
    return request.method == "POST" and path.strip("/") == "" and "batch" in request.query


def answer_batch(request: Request, answer: Answer, *, in_time: int | None) -> Reply:
    """Answer each item by `answer`; items beyond the first `in_time` have timed out and are null."""
    items = _items(request.query["batch"])
    has_headers = request.query.get("include_headers", "true").lower() not in ("false", "0")
    parts: list[tuple[Request, Reply]] = []
    bodies: list[Any] = []
    for item in items[:in_time]:
        asked = _request(item, request)
        reply = answer(asked)
        parts.append((asked, reply))
        bodies.append(_described(item, reply, has_headers=has_headers))
    bodies += [None] * (len(items) - len(bodies))
    return replace(Reply.json(200, bodies), parts=tuple(parts))


def _items(text: str) -> list[Mapping[str, Any]]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list) or not items:
        raise parameter("param batch must be an array.")
    if len(items) > MOST:
        raise GraphError(f"Too many requests in batch message. Maximum batch size is {MOST}", 100, TYPE)
    for place, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("relative_url"), str):
            raise parameter(f"param batch[{place}] must have a relative_url")
        if not isinstance(item.get("method", "GET"), str):
            raise parameter(f"param batch[{place}] must have a method")
    return items


def _request(item: Mapping[str, Any], outer: Request) -> Request:
    address = urlsplit(f"/{item['relative_url'].lstrip('/')}")
    version = outer.path.lstrip("/").partition("/")[0]
    path, first = address.path, address.path.lstrip("/").partition("/")[0]
    if VERSION.fullmatch(version) and not VERSION.fullmatch(first):
        path = f"/{version}{path}"
    pairs = parse_qsl(address.query, keep_blank_values=True)
    given = dict(pairs) | dict(parse_qsl(str(item.get("body") or ""), keep_blank_values=True))
    pairs += [(name, outer.query[name]) for name in SHARED if name in outer.query and name not in given]
    headers = {**outer.headers, "content-type": FORM}
    body = str(item.get("body") or "").encode()
    return replace(
        outer,
        method=item.get("method", "GET").upper(),
        path=path,
        query_string=urlencode(pairs),
        headers=headers,
        body=body,
    )


def _described(item: Mapping[str, Any], reply: Reply, *, has_headers: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"code": reply.status}
    if has_headers:
        headers = {"Content-Type": reply.content_type, **reply.headers}
        described["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
    is_omitted = item.get("omit_response_on_success") is True and reply.status == HTTPStatus.OK
    return described | {"body": None if is_omitted else reply.body.decode()}
