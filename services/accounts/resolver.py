"""The accounts that granted access: the one of the settings, and those that were added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from services import request_context
from services.accounts.current_tokens import CurrentTokens, fingerprint
from services.accounts.registry import AccountRegistry
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import (
    ACCOUNT_ID,
    LAST_KNOWN_PROFILE,
    PROFILE,
    PROFILE_RECHECK,
    PROFILE_TEXT,
    FixedTTL,
    Json,
)
from services.caller import Caller
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account, Item, as_count
from services.errors import (
    AccountUnknownError,
    BusyError,
    InvalidRequestError,
    ProviderError,
    ProviderNotConfiguredError,
)
from services.store.accounts import AccountRow
from services.store.cache_entries import CacheKey

PROFILE_KEY = CacheKey("profile")
ACCOUNT_KEY = CacheKey("account")


@dataclass(frozen=True)
class ConfiguredAccount:
    """The account of the settings; without a token there is none."""

    token: str = field(repr=False)
    login: str
    account_id: str
    page_id: str


@dataclass(frozen=True)
class ListedAccount:
    """An account as it is listed; its id is None for a configured one that was not read yet.

    `added_at` (Unix seconds) is None for the configured one; `failure` says why its token cannot be had.
    """

    id: str | None
    username: str | None
    login: str
    added_at: float | None = None
    failure: ProviderError | None = None
    fingerprint: str | None = None  # of its token


@dataclass(frozen=True)
class _FailedLookups:
    """Why the request in hand could not look up names, by the account or the page that it asked about."""

    by_account: dict[str, ProviderError] = field(default_factory=dict)

    @classmethod
    def of_request(cls) -> Self:
        """Return those of the request in hand; a command has none that last."""
        context = request_context.current.get()
        return cls() if context is None else context.part(cls)

    @contextmanager
    def shared(self, account: str) -> Iterator[None]:
        """Surround the call that names of an account are looked up by; raise the failure of an earlier one instead.

        To be used within a single flight. Names that are looked up side by side share that; one that comes later would
        else make the same call again. A context manager, so that the call stands right below its caller on the stack.
        """
        if (failure := self.by_account.get(account)) is not None:
            raise failure
        try:
            yield
        except ProviderError as error:
            self.by_account[account] = error
            raise


OnProfile = Callable[[Account, Item], None]
"""Gets an account and its profile as Instagram answered it."""


def ignore_profile(_account: Account, _profile: Item) -> None:
    """Do nothing with a profile."""


class AccountResolver:
    """Finds the account a caller means, and reads its profile."""

    def __init__(
        self,
        graph: GraphClient,
        cache: Cache,
        *,
        configured: ConfiguredAccount,
        registry: AccountRegistry,
        tokens: CurrentTokens,
        on_profile: OnProfile = ignore_profile,
    ) -> None:
        """Build a resolver; `on_profile` gets every profile that is read, by whatever call."""
        self._on_profile = on_profile
        self._graph = graph
        self._cache = cache
        self._own = configured
        self._registry = registry
        self._tokens = tokens

    def find(self, reference: str | None) -> Account:
        """Return the account with this id or username; where none is named the configured one, or the only one.

        Raises `ProviderNotConfiguredError` where there is no account at all or its token cannot be opened,
        `InvalidRequestError` where several could be meant, `AccountUnknownError` for any that is not here, and in the
        same way for one that the caller may not see.
        """
        caller = request_context.caller()
        account = self._found(reference) if caller.accounts is None else self._visible(reference, caller)
        request_context.is_about(account.id)
        return account

    def still_here(self, account_id: str) -> Account:
        """Return an account as `find` does; it is also unknown where there is no account at all any more."""
        try:
            return self.find(account_id)
        except ProviderNotConfiguredError:
            if self.listed():
                raise  # Its token cannot be opened.
            raise _unknown() from None

    def _found(self, reference: str | None) -> Account:
        if self._own.token and reference in {None, self._own.account_id}:
            return self._configured()
        rows = self._registry.rows()
        if not rows and not self._own.token:
            raise ProviderNotConfiguredError(
                "Instagram is not configured.",
                provider="instagram",
                hint="Set ACCESS_LONG_LIVED_TOKEN and INSTAGRAM_ACCOUNT_ID or PAGE_ID, then restart; "
                "or add an account with `make account`.",
            )
        if reference is None:
            return self._registry.opened(_only(rows))
        # An account of the table is found there, whatever may be wrong with the configured account.
        row = self._registry.row(reference)
        if row is not None:
            return self._registry.opened(row)
        if self._own.token:
            account = self._configured()
            if reference == account.id or self._is_username(reference.removeprefix("@").lower(), account):
                return account
        raise _unknown()

    def _visible(self, reference: str | None, caller: Caller) -> Account:
        """Return as `find` does for a caller of some accounts; all others are treated as if they were not here.

        Nothing of them is read, so an account that the caller may not see takes the same time as one that does not
        exist.
        """
        rows = {row.id: row for row in self._registry.rows() if caller.sees(row.id)}
        own = self._own_of(caller, rows)
        if own is not None and reference in {None, self._own.account_id}:
            return own
        if reference is None and rows:
            return self._registry.opened(_only(list(rows.values())))
        name = (reference or "").removeprefix("@").lower()
        row = rows.get(reference or "") or next((row for row in rows.values() if name and row.username == name), None)
        if row is not None:
            return self._registry.opened(row)
        if own is not None and (reference == own.id or self._is_username(name, own)):
            return own
        raise _unknown()

    def _own_of(self, caller: Caller, rows: Mapping[str, AccountRow]) -> Account | None:
        """Return the configured account if a caller of some accounts may see it."""
        own = self._own
        if not own.token or (own.account_id and not caller.sees(own.account_id)):
            return None
        if not own.account_id and (caller.accounts or frozenset()) <= rows.keys():
            return None  # Its id has to be read, and it is none of the caller's, which are all in the table.
        try:
            account = self._configured()
        except ProviderError:
            return None  # Its id could not be read, so whose failure this is cannot be known.
        return account if caller.sees(account.id) else None

    def owner_of(self, owner: str | None) -> Account:
        """Return the account with an id; where it is None or not here, the only account there is.

        For what belongs to one account, such as a media: where there are several, none of them is a guess. Raises
        `InvalidRequestError` then, and else as `find` does. An owner that the caller may not see is not here.
        """
        caller = request_context.caller()
        if caller.accounts is not None:
            return self.find(owner if owner is not None and caller.sees(owner) else None)
        row = None if owner is None else self._registry.row(owner)
        if row is not None and row.id == owner:
            return self._registry.opened(row)
        rows = self._registry.rows()
        if not self._own.token or not rows:
            return self.find(None)
        configured = self._configured()
        if configured.id != owner and any(row.id != configured.id for row in rows):
            raise _several()
        return configured

    def known_ids(self) -> frozenset[str]:
        """Return the ids of the accounts here that the caller may see, as far as they are known without a call.

        Raises `BusyError`.
        """
        own = self._configured_id() if self._own.token else None
        found = {row.id for row in self._registry.rows()} | ({own} if own is not None else set())
        return frozenset(filter(request_context.caller().sees, found))

    def is_gone(self, account_id: str) -> bool:
        """Return whether an account is surely not here; no provider is called. Raises `DatabaseUnavailableError`."""
        if self._own.token and self._configured_id() in {None, account_id}:
            return False
        return not self._registry.is_added(account_id)

    @property
    def configured_token(self) -> str:
        """The token of the settings or what it was refreshed to; empty without one."""
        return self._tokens.token(self._own.token) if self._own.token else ""

    @property
    def configured(self) -> bool:
        """Whether there is any account; added ones do not count if the database was unavailable from the start."""
        try:
            return bool(self._own.token or self._registry.rows())
        except BusyError:
            return False

    def all(self) -> list[Account]:
        """Return every account that can be read now and that the caller may see, the configured one first.

        Raises `BusyError`.
        """
        caller = request_context.caller()
        finders: list[Callable[[], Account]] = [self._configured] if self._own.token else []
        finders += [partial(self._registry.opened, row) for row in self._registry.rows()]
        found: dict[str, Account] = {}
        for find in finders:
            try:
                account = find()
            except ProviderError:
                continue  # An account that cannot be found or opened does not stop the others.
            if caller.sees(account.id):
                found.setdefault(account.id, account)
        return list(found.values())

    def listed(self) -> list[ListedAccount]:
        """Return every account there is, the configured one first, without a provider call; raises `BusyError`."""
        rows = self._registry.rows()
        found: dict[str, ListedAccount] = {}
        own = self._own
        if own.token:
            account = Account(self._configured_id() or "", own.token, own.login, own.page_id)
            username = self.username(account) if account.id else None
            of_token = fingerprint(self.configured_token)
            found[account.id] = ListedAccount(account.id or None, username, own.login, fingerprint=of_token)
        for row in rows:
            failure, mine = None, None
            try:
                mine = fingerprint(self._registry.opened(row).token)
            except ProviderError as error:
                failure = error
            listed = ListedAccount(row.id, row.username or None, row.login, row.added_at, failure, mine)
            found.setdefault(row.id, listed)
        return list(found.values())

    def tokens_of_added(self) -> list[str]:
        """Return fingerprints of the added accounts' stored tokens; none while the database is unavailable."""
        try:
            return [fingerprint(row.token.hex()) for row in self._registry.rows()]
        except BusyError:
            return []

    def added(self) -> tuple[int, int]:
        """Return how many accounts were added, and of how many the token cannot be opened; raises `BusyError`."""
        return len(self._registry.rows()), self._registry.closed()

    def opened(self, row: AccountRow) -> Account:
        """Return an added account with its token; raise `ProviderNotConfiguredError` where no key opens it."""
        return self._registry.opened(row)

    def profile(self, account: Account, *, policy: FixedTTL = PROFILE, to_look_up: bool = False) -> CacheEntry:
        """Return `username` and `followers_count` of an account; either may be missing.

        A profile that is read `to_look_up` a name is asked for once in a request, whether that fails or not.
        """
        is_first = False

        def fetch(cached: CacheEntry | None) -> Json:
            nonlocal is_first
            is_first = cached is None
            with _FailedLookups.of_request().shared(account.id) if to_look_up else nullcontext():
                answer = self._graph.profile(account)
            return self.as_profile(account, answer)

        profile = self._cache.get_or_fetch(account.id, PROFILE_KEY.key, policy, fetch, provider="instagram")
        if is_first:
            self.announce_first_profile(account)
        return profile

    def as_profile(self, account: Account, answer: Item) -> Json:
        """Return a profile that Instagram answered as it is cached, and note the username of an added account."""
        name = answer.get("username")
        username = name if isinstance(name, str) and name else None
        self._registry.saw_username(account.id, (username or "").lower())
        self._on_profile(account, answer)
        # Unreadable is unknown, so that the cache keeps what was known before.
        return {"username": username, "followers_count": as_count(answer.get("followers_count"))}

    def announce_first_profile(self, account: Account) -> None:
        """Drop the replies that any process made before: they lack the username; equal requests get equal replies."""
        self._cache.announce_change(account.id)

    def username(self, account: Account) -> str | None:
        """Return the last known username of an account, or None; no provider is called for it."""
        if (added := self._registry.username(account.id)) is not None:
            return added
        profile = self._cache.peek(account.id, {PROFILE_KEY: LAST_KNOWN_PROFILE}).get(PROFILE_KEY)
        return None if profile is None else _username(profile) or None

    def _configured(self) -> Account:
        own = self._own
        return Account(own.account_id or self._linked(), self.configured_token, own.login, own.page_id)

    def _configured_id(self) -> str | None:
        """Return the id of the configured account as far as it is known."""
        if self._own.account_id:
            return self._own.account_id
        found = self._cache.known(self._owner(), {ACCOUNT_KEY: ACCOUNT_ID}).get(ACCOUNT_KEY)
        return None if found is None else str(found.value["id"])

    def _owner(self) -> str:
        """Return what the id of the configured account is cached by: a hash of its token, or its page."""
        return fingerprint(self._own.token) if self._own.login == "instagram" else self._own.page_id

    def _linked(self) -> str:
        """Return the id of the account that belongs to the page, or to the token of the Instagram login."""
        own, by_token, token = self._own, self._own.login == "instagram", self.configured_token

        def fetch(_cached: CacheEntry | None) -> Json:
            with _FailedLookups.of_request().shared(self._owner()):
                if by_token:
                    return {"id": self._graph.own_account(token)}
                return {"id": self._graph.linked_account(own.page_id, token=token)}

        entry = self._cache.get_or_fetch(self._owner(), ACCOUNT_KEY.key, ACCOUNT_ID, fetch, provider="instagram")
        return str(entry.value["id"])

    def _is_username(self, name: str, account: Account) -> bool:
        if _username(self.profile(account, policy=PROFILE_TEXT, to_look_up=True)) == name:
            return True
        return _username(self.profile(account, policy=PROFILE_RECHECK, to_look_up=True)) == name


def _only(rows: Sequence[AccountRow]) -> AccountRow:
    if len(rows) > 1:
        raise _several()
    return rows[0]


def _unknown() -> AccountUnknownError:
    return AccountUnknownError(
        "There is no such account here.",
        hint="Check the id or username; where there is one account only, `account` may be left out.",
    )


def _several() -> InvalidRequestError:
    return InvalidRequestError(
        "account is missing: there are several here.",
        hint="Give the id or the username; GET /accounts lists them.",
    )


def _username(profile: CacheEntry) -> str:
    return str(profile.value.get("username") or "").lower()
