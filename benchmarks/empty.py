"""The yardstick: a Flask application that does nothing, for the same server with the same settings.

`/small` is a few constant bytes; `/bytes/<n>` is n ready bytes, for each n of the variable BENCH_SIZES.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from flask import Flask, Response

SMALL = b'{"ok":true}'

app = Flask(__name__, static_folder=None)


def _ready(body: bytes) -> Callable[[], Response]:
    return lambda: Response(body, mimetype="application/json")


app.add_url_rule("/small", "small", _ready(SMALL))
for size in sorted(set(os.environ.get("BENCH_SIZES", "").split())):
    # A rule for each size: one with a number in it would cost more to match than a gateway's path.
    app.add_url_rule(f"/bytes/{size}", f"bytes_{size}", _ready(b"x" * int(size)))
