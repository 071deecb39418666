"""Which endpoints need no API key, which have no rate limit, and what the others require of a key."""

from __future__ import annotations

from services import request_context
from services.caller import Scope
from services.errors import InsufficientScopeError

# They show nothing of an account, or check their callers themselves. No key is looked at there, not even a wrong one.
WITHOUT_KEY = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/webhooks/instagram"})

# A monitor that is refused would restart a gateway that works, and Meta drops deliveries that are refused.
WITHOUT_LIMIT = frozenset({"/healthz", "/readyz", "/webhooks/instagram"})


def require(scope: Scope) -> None:
    """Raise `InsufficientScopeError` unless the caller may do what a scope allows."""
    if not request_context.caller().may(scope):
        raise InsufficientScopeError(
            f"The API key has not the scope {scope}.",
            hint=f'The operator creates a key with it: `make key ARGS="create NAME --scope {scope}"`.',
        )
