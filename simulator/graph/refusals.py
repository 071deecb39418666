"""The refusals of the Graph API that faults stand for."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.faults import Fault
from simulator.graph.error_table import PERMISSION_TEXTS, TOKEN_TEXTS, row_error
from simulator.graph.errors import ACCOUNT_LIMIT, OAUTH, REDUCE_DATA, UNKNOWN_ERROR, GraphError, throttled, wait_of
from simulator.messages import Request

Options = Mapping[str, Any]

SERVER_TEXTS = {
    1: UNKNOWN_ERROR,
    2: "An unexpected error has occurred. Please retry your request later.",
}


def refusal(fault: Fault, request: Request) -> GraphError | None:
    """Return the refusal that a fault stands for, if it is one that the API would put into its envelope."""
    refuse = REFUSALS.get(fault.kind)
    return refuse(fault.options, request) if refuse else None


def _throttled(options: Options, _: Request) -> GraphError:
    return throttled(options.get("code", ACCOUNT_LIMIT), **wait_of(options))


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
        headers=options.get("headers", {}),
        is_literal="type" in options,
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
    "refusal": lambda options, request: row_error(options, request.path),
}
