"""The caller of a request: which API key it sent, and what that key may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

ANONYMOUS_NAME = "anonymous"  # the caller that logs and the ledger name for a request without a key


class Scope(StrEnum):
    """What a key may do; each scope includes those before it."""

    READ = "read"
    REFRESH = "refresh"  # also: make the gateway ask a provider although it has a fresh value
    ADMIN = "admin"  # also: what concerns the gateway as a whole

    def includes(self, other: Scope) -> bool:
        """Return whether a key of this scope may do what `other` allows."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller. `name` is the id of its key, which is no secret.

    `accounts` are the ids that it may see; None is every account. `requests_per_minute` and `credit_limit`
    (thousandths of a credit in a calendar month, UTC) are limits of the key itself; None is no limit of its own.
    """

    name: str
    scope: Scope
    accounts: frozenset[str] | None = None
    requests_per_minute: int | None = None
    credit_limit: int | None = None
    cache_scope: str = field(init=False, repr=False, compare=False)  # equal for callers that see the same accounts

    def __post_init__(self) -> None:
        """Make the cache scope once, for it is compared with each request."""
        scope = "" if self.accounts is None else f"accounts:{','.join(sorted(self.accounts))}"
        object.__setattr__(self, "cache_scope", scope)

    @property
    def is_anonymous(self) -> bool:
        """Whether the request had no key."""
        return self.name == ANONYMOUS_NAME

    def may(self, scope: Scope) -> bool:
        """Return whether the caller may do what a scope allows."""
        return self.scope.includes(scope)

    def sees(self, account: str) -> bool:
        """Return whether the caller may know that there is such an account (id)."""
        return self.accounts is None or account in self.accounts


ANONYMOUS = Caller(ANONYMOUS_NAME, Scope.ADMIN)
"""A request without a key where none is needed, background work, and commands."""

UNIDENTIFIED = Caller("", Scope.READ, frozenset())
"""A request that is refused before its caller is known."""
