"""Which endpoints need no API key, and what the others require of one."""

from __future__ import annotations

from services import request_context
from services.caller import Scope
from services.errors import InsufficientScopeError

# They show nothing of an account, or check their callers themselves. No key is looked at there, not even a wrong one.
WITHOUT_KEY = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/webhooks/instagram"})


def require(scope: Scope) -> None:
    """Raise `InsufficientScopeError` unless the caller may do what a scope allows."""
    if not request_context.caller().may(scope):
        raise InsufficientScopeError(
            f"The API key has not the scope {scope}.",
            hint=f'The operator creates a key with it: `make key ARGS="create NAME --scope {scope}"`.',
        )
