"""Every answer but the good one that is known or feared of the Discovery API, by a short name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.messages import Reply
from simulator.modash.errors import ModashError, key_invalid, no_credits, rate_limited, retry_later

HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Row:
    """An answer with what it is about."""

    about: str
    reply: Reply


def _refused(about: str, status: int, code: str, message: str) -> Row:
    return Row(about, ModashError(status, code, message).reply())


def _page(status: int, reason: str) -> Row:
    body = f"<html><head><title>{status} {reason}</title></head><body><h1>{status} {reason}</h1></body></html>"
    return Row("the page of a load balancer", Reply(status, body.encode(), {}, HTML))


def _bare(about: str, status: int, body: Any) -> Row:
    return Row(about, Reply.json(status, body))


INTERNAL = {"error": True, "code": "internal_server_error", "message": "Something went wrong on our side."}

ROWS: Mapping[str, Row] = {
    "api_token_invalid": Row("key missing or wrong", key_invalid(401).reply()),
    "api_token_invalid-403": Row("key missing or wrong, as some answer it", key_invalid(403).reply()),
    "bad_request": _refused("url badly formed", 400, "bad_request", "The url parameter is missing or badly formed."),
    "handle_not_found": _refused(
        "no public account of that name", 404, "handle_not_found", "No public account was found for this handle."
    ),
    "account_not_found": _refused("no such account", 404, "account_not_found", "This account does not exist."),
    "account_removed": _refused("removed", 404, "account_removed", "This account was removed."),
    "private_account": _refused("private", 400, "private_account", "This account is private."),
    "media_not_found": _refused("no such media", 404, "media_not_found", "This media does not exist."),
    "entity_not_found": _refused("no such entity", 404, "entity_not_found", "This entity does not exist."),
    "empty_audience": _refused("no data on the audience", 404, "empty_audience", "There is no audience data."),
    "retry_later": Row("being prepared, in the vendor's envelope", retry_later("vendor", None)),
    "retry_later-seed": Row("being prepared, as a status", retry_later("seed", None)),
    "retry_later-mixed": Row("being prepared, in both shapes at once", retry_later("mixed", None)),
    "retry_later-202": Row("being prepared, as a status", retry_later("seed", 202)),
    "retry_later-429": Row("being prepared, with the status of a rate limit", retry_later("vendor", 429)),
    "not_enough_credits": Row("the balance is used up", no_credits().reply()),
    "403": _bare("forbidden for whatever reason", 403, {"error": True, "message": "Forbidden"}),
    "internal_server_error": _bare("a fault of theirs", 500, INTERNAL),
    "invalid_body_params": _refused("a bad body", 422, "invalid_body_params", "The body is not valid."),
    "feature_not_available": _refused("not in the plan", 403, "feature_not_available", "Your plan does not have this."),
    "no_result": _refused("nothing found", 404, "no_result", "Nothing was found."),
    "page_limit": _refused("too deep a page", 400, "page_limit", "There are no further pages."),
    "rate_limit_exceeded": Row("too fast", rate_limited(None, is_json=True)),
    "429-retry-after": Row("too fast, with Retry-After", rate_limited(2, is_json=True)),
    "429-text": Row("too fast, not in JSON", rate_limited(None, is_json=False)),
    "502-html": _page(502, "Bad Gateway"),
    "503-html": _page(503, "Service Unavailable"),
    "504-html": _page(504, "Gateway Timeout"),
    "200-error": _bare("an error that says 200", 200, INTERNAL),
    "200-text": Row("text that says 200", Reply(200, b"OK\n", {}, "text/plain")),
    "200-nothing": _bare("a good answer without posts and reels", 200, {"error": False}),
    "404-no-code": _bare(
        "no such creator, without a code", 404, {"error": True, "message": "User not found or invalid URL parameter"}
    ),
    "404-no-address": _bare(
        "no such address, as a web server answers it",
        404,
        {"statusCode": 404, "message": "Cannot GET /v1/v1/instagram/performance-data", "error": "Not Found"},
    ),
    "unknown_code": _refused("an undocumented code", 400, "something_new", "Something new."),
}


def row_reply(options: Mapping[str, Any]) -> Reply:
    """Return the answer that an order asks for."""
    reply = ROWS[options["row"]].reply
    return replace(reply, status=options.get("status", reply.status))


def described_rows() -> dict[str, Any]:
    """Return every answer with its HTTP status, its headers and its body."""
    return {
        name: {
            "about": row.about,
            "status": row.reply.status,
            "headers": {"Content-Type": row.reply.content_type, **row.reply.headers},
            "body": row.reply.body.decode(),
        }
        for name, row in ROWS.items()
    }
