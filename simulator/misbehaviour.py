"""Answers that no provider means to give: pages, fragments, garbage, silence."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from simulator.faults import Fault
from simulator.messages import Reply

CHUNK = b" " * 65_536
CHUNKS = 1024  # together 64 MB
PAGE = b"<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>"
GARBAGE = b"\x1f\x8b\x08\x00this is not what it says it is"
ELSEWHERE = "https://elsewhere.invalid/login"

Work = Callable[[], Reply]
Options = Mapping[str, Any]


def misbehave(fault: Fault, work: Work) -> Reply | None:
    """Return the spoilt answer that a fault stands for, if it is one that needs no provider's words.

    `work` does what the call asks for; most faults come before that, so that nothing is done and nothing is paid.
    """
    spoil = SPOILT.get(fault.kind)
    return spoil(fault.options, work) if spoil else None


def _truncated(_: Options, work: Work) -> Reply:
    whole = work()
    return replace(whole, body=whole.body[: len(whole.body) // 2], declared_length=len(whole.body))


def _cut(options: Options, work: Work) -> Reply:
    if options.get("after_work"):
        work()
    return Reply(200, b"", cut=True)


SPOILT: Mapping[str, Callable[[Options, Work], Reply]] = {
    "html": lambda options, _: Reply(options.get("status", 502), PAGE, {}, "text/html; charset=utf-8"),
    "empty": lambda *_: Reply.json(200, {"data": []}),
    "not_json": lambda *_: Reply(200, b'{"data": [{"name": "reach", '),
    "truncated": _truncated,
    "cut": _cut,
    "gzip_broken": lambda *_: Reply(200, GARBAGE, {"Content-Encoding": "gzip"}),
    "too_large": lambda *_: Reply(200, CHUNK, repeat=CHUNKS),
    "wrong_type": lambda options, _: Reply.json(200, options.get("value", [])),
    "redirect": lambda options, _: Reply(302, b"", {"Location": options.get("location", ELSEWHERE)}),
}
