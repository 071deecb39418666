"""Malformed answers: HTML pages, fragments, garbage, empty bodies, and corrupted true answers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from simulator.altered_answers import duplicated, misread, replaced, without_numbers
from simulator.faults import Fault
from simulator.messages import Reply

LEVELS = 100_000  # of lists within lists
BOM = b"\xef\xbb\xbf"
CHUNK = b" " * 65_536
CHUNKS = 1024  # together 64 MB
PAGE = b"<!DOCTYPE html><html><head><title>Error</title></head><body>Sorry, something went wrong.</body></html>"
GARBAGE = b"\x1f\x8b\x08\x00this is not what it says it is"
ELSEWHERE = "https://elsewhere.invalid/login"

Work = Callable[[], Reply]
Options = Mapping[str, Any]


def misbehave(fault: Fault, work: Work) -> Reply | None:
    """Return the malformed answer of a fault, or None if the provider words the answer.

    `work` does what the call requests. Most faults replace it, so that nothing is done and nothing is paid.
    """
    spoil = SPOILT.get(fault.kind)
    return spoil(fault.options, work) if spoil else None


def _error(options: Options, _: Work) -> Reply | None:
    if "body" not in options:
        return None  # The provider has words of its own.
    body = options["body"].encode("utf-8", "surrogatepass")
    return Reply(options.get("status", 400), body, options.get("headers", {}))


def _deep(options: Options, _: Work) -> Reply:
    levels = options.get("levels", LEVELS)
    return Reply(200, b"[" * levels + b"]" * levels)


def _wrong_type(options: Options, work: Work) -> Reply:
    value = options.get("value", [])
    return replaced(work(), options["at"], value) if options.get("at") else Reply.json(200, value)


def _marked(_: Options, work: Work) -> Reply:
    whole = work()
    return replace(whole, body=BOM + whole.body)


def _truncated(_: Options, work: Work) -> Reply:
    whole = work()
    return replace(whole, body=whole.body[: len(whole.body) // 2], declared_length=len(whole.body))


def _cut(options: Options, work: Work) -> Reply:
    if options.get("after_work"):
        work()
    return Reply(200, b"", cut=True)


SPOILT: Mapping[str, Callable[[Options, Work], Reply | None]] = {
    "error": _error,
    "html": lambda options, _: Reply(options.get("status", 502), PAGE, {}, "text/html; charset=utf-8"),
    "empty": lambda *_: Reply.json(200, {"data": []}),
    "not_json": lambda *_: Reply(200, b'{"data": [{"name": "reach", '),
    "truncated": _truncated,
    "cut": _cut,
    "gzip_broken": lambda *_: Reply(200, GARBAGE, {"Content-Encoding": "gzip"}),
    "too_large": lambda *_: Reply(200, CHUNK, repeat=CHUNKS),
    "empty_body": lambda options, _: Reply(options.get("status", 200), b""),
    "no_content": lambda *_: Reply(204, b""),
    "deep_nesting": _deep,
    "wrong_type": _wrong_type,
    "nan": lambda options, work: without_numbers(work(), options.get("value", "NaN")),
    "duplicate_keys": lambda _, work: duplicated(work()),
    "invalid_utf8": lambda _, work: misread(work()),
    "bom": _marked,
    "redirect": lambda options, _: Reply(302, b"", {"Location": options.get("location", ELSEWHERE)}),
}
