"""What the Graph API says when a fault was ordered."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.faults import Fault
from simulator.graph.errors import FACEBOOK, METHOD, OAUTH, REDUCE_DATA, UNKNOWN_ERROR, GraphError, throttled
from simulator.messages import Request

Options = Mapping[str, Any]

TOKEN_TEXTS = {
    458: "Error validating access token: The user has not authorized application 200000000000000.",
    459: "Error validating access token: You cannot access the app till you log in to www.facebook.com and follow the "
    "instructions given.",
    460: "Error validating access token: The session has been invalidated because the user changed their password or "
    "Facebook has changed the session for security reasons.",
    463: "Error validating access token: Session has expired on Thursday, 01-Oct-26 00:00:00 PDT.",
    464: "Error validating access token: Sessions for the user are not allowed because the user is not confirmed.",
    467: "Error validating access token: The session is invalid because the user logged out.",
    492: "Error validating access token: The session does not match the role of the user on the Page.",
}
PERMISSION_TEXTS = {
    10: "(#10) Application does not have permission for this action",
    200: "(#200) Requires instagram_manage_insights permission to read the insights of the object",
}
SERVER_TEXTS = {
    1: UNKNOWN_ERROR,
    2: "An unexpected error has occurred. Please retry your request later.",
}


def refusal(fault: Fault, request: Request) -> GraphError | None:
    """Return the refusal that a fault stands for, if it is one that the API would put into its envelope."""
    refuse = REFUSALS.get(fault.kind)
    return refuse(fault.options, request) if refuse else None


def ids_are_gone() -> GraphError:
    """Return the refusal of `?ids=` on the root, whatever version is asked."""
    return GraphError("The ids query parameter is deprecated in v26.0+", 100, FACEBOOK, status=500)


def no_object() -> GraphError:
    """Return the refusal of the root."""
    return GraphError("Unsupported get request.", 100, METHOD)


def _throttled(options: Options, _: Request) -> GraphError:
    return throttled(options.get("code", 80002), options.get("minutes", 10))


def _token(options: Options, _: Request) -> GraphError:
    subcode = options.get("subcode", 463)
    return GraphError(TOKEN_TEXTS[subcode], 190, subcode=subcode)


def _permission(options: Options, _: Request) -> GraphError:
    code = options.get("code", 10)
    return GraphError(PERMISSION_TEXTS[code], code)


def _server_error(options: Options, _: Request) -> GraphError:
    code = options.get("code", 2)
    return GraphError(SERVER_TEXTS[code], code, status=options.get("status"), is_transient=code != 1 or None)


def _echo_token(_: Options, request: Request) -> GraphError:
    token = request.query.get("access_token") or request.bearer or ""
    address = f"{request.base}{request.path}?{request.query_string}"
    return GraphError(f"Malformed access token {token} in {address}", 190)


def _any(options: Options, _: Request) -> GraphError:
    return GraphError(
        options.get("message", "(#100) Invalid parameter"),
        options.get("code", 100),
        options.get("type", OAUTH),
        subcode=options.get("subcode"),
        status=options.get("status"),
        is_transient=options.get("is_transient"),
    )


REFUSALS: Mapping[str, Callable[[Options, Request], GraphError]] = {
    "throttled": _throttled,
    "token": _token,
    "permission": _permission,
    "server_error": _server_error,
    "reduce_data": lambda *_: GraphError(REDUCE_DATA, 1),
    "echo_token": _echo_token,
    "error_200": lambda *_: GraphError("(#100) Invalid parameter", status=200),
    "error": _any,
}
