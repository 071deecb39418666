"""The JSON of every reply: written by orjson, and by the standard library where orjson refuses a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import Response
from flask.json.provider import JSONProvider

from services.rendering.prepared_json import json_text
from services.rendering.prepared_parts import PreparedList, digest_of, text_of


class Body(NamedTuple):
    """The body of a reply, and the bytes that stand for it: equal ones for equal bodies, others for others.

    In these, each prepared part is its digest.
    """

    text: bytes
    named_by: bytes


def encode_fields(fields: Mapping[str, object]) -> Body:
    """Return the fields of a reply as its body: one line. A field may be a list of prepared parts."""
    if not any(isinstance(value, PreparedList) for value in fields.values()):
        text = encode(fields)
        return Body(text, text)
    texts, names = list[bytes](), list[bytes]()
    for name, value in fields.items():
        if isinstance(value, PreparedList):
            texts.append(b"%b:[%b]" % (json_text(name), b",".join(map(text_of, value.items))))
            names += map(digest_of, value.items)
        else:
            texts.append(b"%b:%b" % (json_text(name), json_text(value)))
            names.append(texts[-1])
    return Body(b"{%b}\n" % b",".join(texts), b"".join(names))


def encode(value: object) -> bytes:
    """Return a value as the body of a reply: one line."""
    return json_text(value) + b"\n"


class JsonEncoder(JSONProvider):
    """The same for Flask and its `jsonify`."""

    def dumps(self, obj: Any, **_options: Any) -> str:
        """Return a value as a line of text."""
        return encode(obj).decode()

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """Return the value of a text."""
        return json.loads(s, **options)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return the reply of `jsonify`."""
        return Response(encode(self._prepare_response_obj(args, kwargs)), mimetype="application/json")
