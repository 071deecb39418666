"""The parts of a warm request: one call of the WSGI application in this process, with and without each part.

Without a network: `us` is one call, with its body read and closed; the median of alternating rounds. `beyond_us` is
the difference to the variant that the column `against` names.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from werkzeug.test import EnvironBuilder

from benchmarks.empty import app as empty
from benchmarks.endpoints import POSTS
from benchmarks.inside import application, wait_until_quiet
from benchmarks.stage import Options, Row, Stage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ORIGIN = "https://dashboard.example"
REQUEST_ID = "a-request-id-of-the-caller"


@dataclass
class Variant:
    """One way to call, what it is compared with, and its rounds."""

    app: WSGIApplication
    environ: WSGIEnvironment
    against: str | None = None
    level: int = logging.INFO
    us: list[float] = field(default_factory=list)

    def round(self, seconds: float) -> None:
        """Call for some seconds and record the time of one call."""
        logging.getLogger().setLevel(self.level)
        calls, started = 0, time.perf_counter()
        while (now := time.perf_counter()) < started + seconds:
            for _ in range(10):
                _call(self.app, self.environ)
            calls += 10
        self.us.append((now - started) * 1e6 / calls)


def measure(options: Options) -> list[Row]:
    """Measure the parts of one warm request."""
    with Stage() as stage:
        simulator = stage.simulator()
        settings = [stage.settings(simulator, **more) for more in ({}, {"CORS_ORIGINS": ORIGIN})]
        with (
            application(settings[1], stage.path("cors.log")) as cors,
            application(settings[0], stage.path("plain.log")) as plain,
        ):
            variants = _variants(plain, cors)
            for variant in variants.values():
                _call(variant.app, variant.environ)
            for app in (plain, cors):
                wait_until_quiet(app)
            for _ in range(options.pick(9, 2)):
                for variant in variants.values():
                    variant.round(options.pick(0.3, 0.1))
    return _rows(variants)


def _variants(plain: WSGIApplication, cors: WSGIApplication) -> dict[str, Variant]:
    status, headers, body = _call(plain, _environ(POSTS))
    if not status.startswith("200"):
        raise RuntimeError(f"{POSTS} is answered {status}.")
    bare = _bare(body, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    warm = "warm"
    variants = {
        "bare WSGI, ready bytes": Variant(bare, _environ("/")),
        "empty Flask view": Variant(empty, _environ("/small"), "bare WSGI, ready bytes"),
        warm: Variant(plain, _environ(POSTS), "empty Flask view"),
        "warm, no log line": Variant(plain, _environ(POSTS), warm, level=logging.WARNING),
        "warm, request id given": Variant(plain, _environ(POSTS, {"X-Request-Id": REQUEST_ID}), warm),
        "warm, CORS set, no Origin": Variant(cors, _environ(POSTS), warm),
        "warm, CORS set, Origin": Variant(cors, _environ(POSTS, {"Origin": ORIGIN}), warm),
    }
    tag = dict(headers).get("ETag")
    if tag is not None:
        variants["warm, 304"] = Variant(plain, _environ(POSTS, {"If-None-Match": tag}), warm)
    return variants


def _rows(variants: Mapping[str, Variant]) -> list[Row]:
    medians = {name: statistics.median(variant.us) for name, variant in variants.items()}
    return [
        {
            "call": name,
            "us": medians[name],
            "against": variant.against,
            "beyond_us": medians[name] - medians[variant.against] if variant.against else None,
            "of_empty_flask": medians[name] / medians["empty Flask view"],
        }
        for name, variant in variants.items()
    ]


def _environ(path: str, headers: Mapping[str, str] | None = None) -> WSGIEnvironment:
    with closing(EnvironBuilder(path, headers=list((headers or {}).items()))) as builder:
        return builder.get_environ()


def _bare(body: bytes, headers: list[tuple[str, str]]) -> WSGIApplication:
    def application_(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return [body]

    return application_


def _call(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
    """Do what a server does with one request, on a copy of its environment."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _info: Any = None) -> Callable[[bytes], object]:
        started[:] = [status, headers]
        return started.append

    parts = app(environ.copy(), start_response)
    try:
        body = b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    return started[0], started[1], body
