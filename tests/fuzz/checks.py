"""What must hold for every reply, whatever the providers sent; read without any code of the gateway."""

from __future__ import annotations

import csv
import gc
import io
import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

ERROR_TYPES: dict[str, tuple[type, ...]] = {
    "error": (bool,),
    "code": (str,),
    "message": (str,),
    "hint": (str, type(None)),
    "provider": (str, type(None)),
    "reference": (str, type(None)),
    "retry_after": (int, type(None)),
    "request_id": (str,),
}
MONSTROUS = 10**15  # Numbers beyond it may be returned or not: nothing on earth was seen more often.
DEEP = 50  # levels; no answer of a provider has more than 10
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def strict(text: bytes | str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def loosely(text: bytes) -> Any:
    """What a provider sent, where it is JSON at all."""
    gc.disable()  # A collection in the midst of a deep text would fail, and finalizers with it.
    try:
        return settled(strict(text))
    except (ValueError, RecursionError):
        return None
    finally:
        gc.enable()


def settled(tree: Any) -> Any:
    """The tree without what has no place in UTF-8, whatever it was replaced by."""
    return json.loads(json.dumps(tree, ensure_ascii=False).replace("\ufffd", "?").encode("utf-8", "replace"))


def levels(tree: Any) -> Iterator[list[Any]]:
    """All values of a tree, level by level."""
    level = [tree]
    while level:
        yield level
        lists = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [child for each in lists if isinstance(each, list) for child in each]


def is_monstrous(tree: Any) -> bool:
    """Whether there are numbers that may be returned or not, for they count nothing."""
    return any(isinstance(each, int | float) and abs(each) >= MONSTROUS for level in levels(tree) for each in level)


def is_deep(tree: Any) -> bool:
    """Whether a tree may be refused for its depth alone."""
    return any(depth > DEEP for depth, _ in enumerate(levels(tree)))


def listed(tree: Any, *keys: str) -> list[Any]:
    """The list at the end of some keys; nothing where there is none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, list) else []


def number(value: Any) -> float | None:
    """A provider's number, if it can count something: nothing has been seen less than never."""
    balance = amount(value)
    return balance if balance is not None and balance >= 0 else None


def amount(value: Any) -> float | None:
    """A provider's number, which may be below 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def quantity(value: Any) -> float | None:
    """A number that can count something."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def count(value: Any) -> int | None:
    found = quantity(value)
    return found if isinstance(found, int) else None


def is_returned(shown: Any, sent: float | None) -> bool:
    """Whether a number is returned as it was sent; unknown stays unknown, and only monstrous ones may be left out."""
    return (shown == sent and not isinstance(shown, bool)) or (shown is None and is_monstrous(sent))


def error_faults(body: Any, response: Any, codes: str) -> Iterator[str]:
    """What is wrong with an error; `codes` is what the contract says of its status."""
    if not isinstance(body, dict) or body.keys() != ERROR_TYPES.keys():
        yield "an error of another shape"
        return
    for name, types in ERROR_TYPES.items():
        if type(body[name]) not in types:
            yield f"the error's {name} is {body[name]!r:.60}"
    if body["error"] is not True or not body["message"]:
        yield "an error without a message"
    if body["code"] not in codes.partition(": ")[2].split(", "):
        yield f"{body['code']} is no code of {response.status_code} in the contract"
    wait = body["retry_after"]
    if response.headers.get("Retry-After") != (None if wait is None else str(wait)) or (wait is not None and wait <= 0):
        yield f"Retry-After is {response.headers.get('Retry-After')}, retry_after {wait}"
    if body["request_id"] != response.headers["X-Request-Id"]:
        yield "the request id is not that of the header"


def table_faults(text: str) -> Iterator[str]:
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    for row in rows:
        shown = dict(zip(head, row, strict=False))
        if len(row) != len(head):
            yield "a row is not as long as its head"
        if shown.get("value") == "" and shown.get("reason") == "":
            yield "a row has neither a value nor a reason"
        if shown.get("value", "").startswith(("[", "{")):
            try:
                strict(shown["value"])
            except ValueError:
                yield f"a value is neither a number nor JSON: {shown['value']!r:.60}"
        for cell in row:
            if cell.strip("-+").lower() in {"nan", "inf", "infinity"}:
                yield f"a cell is {cell}"
            if cell.lstrip(" ").startswith(FORMULA_STARTS) and not cell.lstrip("-").replace(".", "").isdigit():
                yield f"a cell is a formula: {cell!r:.60}"


# Creators


def is_pending(sent: Any) -> bool:
    """Whether Modash says retry_later, in either of its shapes."""
    words = [sent.get("code"), sent.get("status")] if isinstance(sent, dict) else []
    return next((word for word in words if isinstance(word, str)), "") == "retry_later"


def pending_faults(body: Any) -> Iterator[str]:
    if body["status"] != "retry_later" or not body["message"] or body["retry_after"] <= 0:
        yield "retry_later without a message or a wait"
    if body["meta"]["cost"]["credits"] != 0:
        yield "retry_later is not for free"


NOT_READ = object()  # in the place of a balance


def report_faults(body: Any, sent: Any, balance: Any) -> Iterator[str]:
    unavailable = {entry["metric"] for entry in body["meta"]["unavailable"]}
    for name in ("posts", "reels"):
        block = sent.get(name)
        if body[name] != (block if isinstance(block, dict) else None) and not is_monstrous(sent):
            yield f"{name} is not what was sent"
        if (body[name] is None) != (name in unavailable):
            yield f"{name} is null without a reason"
    if body["posts"] is None and body["reels"] is None and body["unrecognized"] != sent and not is_monstrous(sent):
        yield "a report that was paid for is lost"
    if balance is NOT_READ:
        return
    billing = balance.get("billing") if isinstance(balance, dict) and not balance.get("error") else None
    left = amount(billing.get("credits")) if isinstance(billing, dict) else None
    if not is_returned(body["meta"]["cost"]["credits_left"], left):
        yield f"credits_left is {body['meta']['cost']['credits_left']!r:.60}, sent was {left!r:.60}"


# Posts


def posts_of(answer: Any) -> dict[str, Mapping[str, Any]]:
    """Every post that can be read, by its id; the first of those with the same id counts."""
    posts: dict[str, Mapping[str, Any]] = {}
    for item in listed(answer, "data"):
        post_id = item.get("id") if isinstance(item, dict) else None
        post_id = str(post_id) if type(post_id) is int else post_id
        if isinstance(post_id, str) and post_id and isinstance(item.get("timestamp"), str):
            try:
                known = datetime.fromisoformat(item["timestamp"]).tzinfo
            except ValueError:
                continue
            if known:
                posts.setdefault(post_id, item)
    return posts


def count_faults(shown: Any, sent: Mapping[str, Any], explained: set[tuple[str, str]]) -> Iterator[str]:
    """Counts are hidden only where none were sent; every other unknown count has its reason."""
    for name in ("like_count", "comments_count"):
        value = sent.get(name)
        if not is_returned(shown[name], count(value)):
            yield f"{name} is {shown[name]!r:.60}, sent was {value!r:.60}"
        # The transport reads a number beyond every float as null: it could not be handed on in a report.
        is_absent = value is None or value in (math.inf, -math.inf)
        mark = {"like_count": "likes_hidden", "comments_count": "comments_hidden"}[name]
        if shown[mark] is not is_absent:
            yield f"{mark} is {shown[mark]}, sent was {value!r:.60}"
        if shown[name] is None and not is_absent and (name, "unreadable") not in explained:
            yield f"{name} is null without its reason"


def post_faults(body: Any, answer: Any, limit: int) -> Iterator[str]:
    posts, ranks = posts_of(answer), []
    explained = {(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"] if entry["message"]}
    for shown in body["top_posts"]:
        likes, comments, score = shown["like_count"], shown["comments_count"], shown["engagement_score"]
        sent = posts.get(shown["id"])
        if sent is None:
            yield f"no such post was sent: {shown['id']!r:.60}"
            continue
        yield from count_faults(shown, sent, explained)
        known = [each for each in (likes, comments) if each is not None]
        if score != (sum(known) if known else None):
            yield f"engagement_score is {score!r:.60}"
        ranks.append((-1 if score is None else score, shown["timestamp"]))
    if ranks != sorted(ranks, reverse=True):
        yield "the posts are not in the order of their scores"
    if len(ranks) > limit or len({shown["id"] for shown in body["top_posts"]}) < len(ranks):
        yield "there are too many posts, or one is listed twice"
