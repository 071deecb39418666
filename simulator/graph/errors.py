"""Refusals of the Graph API: the envelope, and the texts seen live."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OAUTH, METHOD, FACEBOOK = "OAuthException", "GraphMethodException", "FacebookApiException"
SERVER_FAULTS = (1, 2)  # These codes come with HTTP 500.
PAGE_LIMIT, ACCOUNT_LIMIT = 80001, 80002
THROTTLE_SECONDS = 5  # the wait after an injected throttle, unless the fault gives another

READ_THE_DOCS = "Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api"
UNKNOWN_ERROR = "An unknown error has occurred."
REDUCE_DATA = "Please reduce the amount of data you're asking for, then retry your request"
WAIT = (
    "Wait a bit and try again. For more info, please refer to "
    "https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
)


@dataclass(eq=False)
class GraphError(Exception):
    """A refusal, raised anywhere behind a path and written in one place."""

    message: str
    code: int | str = 100
    type: str = OAUTH
    subcode: int | None = None
    status: int | None = None  # by default 400, or 500 for a fault of the server
    is_transient: bool | None = None
    title: str | None = None
    user_message: str | None = None
    data: Mapping[str, Any] | None = None
    minutes: float | None = None  # until access is regained
    headers: Mapping[str, str] = field(default_factory=dict)
    is_literal: bool = False  # No host puts it into its own dialect.

    @property
    def http_status(self) -> int:
        """The HTTP status that comes with it."""
        return self.status or (500 if self.code in SERVER_FAULTS else 400)

    def envelope(self) -> Mapping[str, Any]:
        """Return the JSON body."""
        error = {
            "message": self.message,
            "type": self.type,
            "code": self.code,
            "error_subcode": self.subcode,
            "is_transient": self.is_transient,
            "error_user_title": self.title,
            "error_user_msg": self.user_message,
            "error_data": self.data,
            "fbtrace_id": f"A{secrets.token_urlsafe(16)}",
        }
        return {"error": {name: value for name, value in error.items() if value is not None}}


def parameter(text: str) -> GraphError:
    """Return the refusal of a parameter."""
    return GraphError(f"(#100) {text}")


def missing_object(object_id: str, *, method: str = "get") -> GraphError:
    """Return the one answer for an object that does not exist, may not be seen or does not support the call."""
    return GraphError(
        f"Unsupported {method} request. Object with ID '{object_id}' does not exist, cannot be loaded due to missing "
        f"permissions, or does not support this operation. {READ_THE_DOCS}",
        type=METHOD,
        subcode=33,
    )


def cannot_parse() -> GraphError:
    """Return the refusal of what is no token of this host."""
    return GraphError("Invalid OAuth access token - Cannot parse access token", 190)


def nonexisting_field(name: str, node_type: str) -> GraphError:
    """Return the refusal of a field or edge that a node does not have."""
    return parameter(f"Tried accessing nonexisting field ({name}) on node type ({node_type})")


def unknown_path(path: str) -> GraphError:
    """Return the refusal of a path that leads nowhere."""
    return GraphError(f"Unknown path components: {path}", 2500)


def throttled(code: int, *, minutes: float | None = None, retry_after: int = THROTTLE_SECONDS) -> GraphError:
    """Return the refusal of one call too many, with the wait that it demands.

    The usage headers give a wait in whole minutes (`minutes`). Without them the refusal carries `Retry-After`
    (`retry_after`, seconds), so that a trial of a throttle does not block its account for minutes.
    """
    texts = {
        4: "(#4) Application request limit reached",
        17: "(#17) User request limit reached",
        32: "(#32) Page request limit reached",
        341: "(#341) Temporarily blocked: the limit of this application is reached",
        613: "(#613) Calls to this api have exceeded the rate limit.",
        PAGE_LIMIT: f"(#80001) There have been too many calls to this Page account. {WAIT}",
        ACCOUNT_LIMIT: f"(#80002) There have been too many calls to this Instagram account. {WAIT}",
    }
    return GraphError(
        texts[code],
        code,
        is_transient=None if code in (PAGE_LIMIT, ACCOUNT_LIMIT) else True,
        minutes=minutes,
        headers={"Retry-After": str(retry_after)} if minutes is None else {},
    )


def wait_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a fault's options that is the wait of a throttle."""
    return {name: options[name] for name in ("minutes", "retry_after") if name in options}


def ids_are_gone() -> GraphError:
    """Return the refusal of `?ids=` on the root, whatever version is asked."""
    return GraphError("The ids query parameter is deprecated in v26.0+", 100, FACEBOOK, status=500)


def no_object() -> GraphError:
    """Return the refusal of the root."""
    return GraphError("Unsupported get request.", 100, METHOD)
