"""The refusals of the Discovery API that faults stand for."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.faults import Fault
from simulator.messages import Reply, Request
from simulator.modash.errors import ModashError, key_invalid, no_credits, rate_limited, retry_later
from simulator.modash.ordered_answers import row_reply

Options = Mapping[str, Any]


def refusal(fault: Fault, request: Request) -> Reply | None:
    """Return the answer that a fault stands for, if it is one that the API would give."""
    refuse = REFUSALS.get(fault.kind)
    return refuse(fault.options, request) if refuse else None


def _server_error(options: Options, _: Request) -> Reply:
    return _server_fault(options.get("status", 500))


def _echo_token(_: Options, request: Request) -> Reply:
    token = request.bearer or request.query.get("access_token", "")
    address = f"{request.base}{request.path}?{request.query_string}"
    return ModashError(401, "api_token_invalid", f"The token {token} sent to {address} is not valid.").reply()


def _any(options: Options, _: Request) -> Reply:
    code, message = options.get("code", "unknown_error"), options.get("message", "Something is wrong.")
    return ModashError(options.get("status", 400), code, message).reply().with_headers(options.get("headers", {}))


def _server_fault(status: int) -> Reply:
    return ModashError(status, "internal_server_error", "Something went wrong on our side.").reply()


REFUSALS: Mapping[str, Callable[[Options, Request], Reply]] = {
    "retry_later": lambda options, _: retry_later(options.get("shape", "vendor"), options.get("status")),
    "no_credits": lambda options, _: no_credits(options.get("status", 403)).reply(),
    "key_invalid": lambda options, _: key_invalid(options.get("status", 401)).reply(),
    "rate_limited": lambda options, _: rate_limited(options.get("retry_after"), is_json=options.get("json", True)),
    "server_error": _server_error,
    "error_200": lambda *_: _server_fault(200),
    "echo_token": _echo_token,
    "error": _any,
    "refusal": lambda options, _: row_reply(options),
}
