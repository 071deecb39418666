"""The JSON of every reply: written by orjson, and by the standard library where orjson refuses a value."""

from __future__ import annotations

import json
from typing import Any

from flask import Response
from flask.json.provider import JSONProvider

from services.prepared_json import json_text


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
