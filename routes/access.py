"""Which endpoints need no API key, which have no rate limit, and what the others require of a key."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from services import request_context
from services.caller import Caller, Scope
from services.errors import InsufficientScopeError, RefreshForbiddenError
from services.webhooks.handshake import WEBHOOK_PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

KEY_REQUIRED = "An API key is required."
HOW_TO_SEND = (
    "Accepted: the headers `Authorization: Bearer KEY` or `X-API-Key: KEY`. The operator creates one with `make key`."
)
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")  # A local proxy forwards for remote callers.
REFRESH = "insights.refresh"  # of the environment of a request with `no-cache`: whether its caller may refresh

# They show nothing of an account, or check their callers themselves. No key is looked at there, not even a wrong one.
WITHOUT_KEY = frozenset({"/healthz", "/readyz", "/openapi.json", WEBHOOK_PATH})

# A monitor that is refused would restart a gateway that works, and Meta drops deliveries that are refused.
WITHOUT_LIMIT = frozenset({"/healthz", "/readyz", WEBHOOK_PATH})


def require(scope: Scope) -> None:
    """Raise `InsufficientScopeError` unless the caller may do what a scope allows."""
    if not request_context.caller().may(scope):
        raise InsufficientScopeError(
            f"The API key has not the scope {scope}.",
            hint=f'The operator creates a key with it: `make key ARGS="create NAME --scope {scope}"`.',
        )


def is_this_machine(peer: str) -> bool:
    """Return whether the address of a connection's other end is one of this machine; a Unix socket has none."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    # On a socket for both families an IPv4 address is `::ffff:127.0.0.1`, which Python 3.11 does not call loopback.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def is_local(environ: WSGIEnvironment) -> bool:
    """Return whether a request comes from this machine and no proxy forwards it."""
    return is_this_machine(environ.get("REMOTE_ADDR", "")) and not any(name in environ for name in FORWARDED)


def may_refresh(caller: Caller, environ: WSGIEnvironment) -> bool:
    """Return whether what is fresh may be fetched again: with a key by its scope, without one on this machine only."""
    return is_local(environ) if caller.is_anonymous else caller.may(Scope.REFRESH)


def require_refresh(environ: WSGIEnvironment) -> None:
    """Raise `RefreshForbiddenError` or `InsufficientScopeError` unless the caller may refresh."""
    caller = request_context.caller()
    if may_refresh(caller, environ):
        return
    if not caller.is_anonymous:
        require(Scope.REFRESH)
    raise RefreshForbiddenError(
        "Without an API key, refresh=true is for callers on the gateway's own machine.",
        hint="Leave it out: what has expired is refreshed automatically, see meta.expires_at.",
    )


def asks_for_refresh(environ: WSGIEnvironment) -> bool:
    """Return whether a request has `Cache-Control: no-cache`, as a browser sends it with a forced reload."""
    control: str | None = environ.get("HTTP_CACHE_CONTROL")
    return control is not None and "no-cache" in control.lower()
