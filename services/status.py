"""The status: checks of token, account, insights, API version and Modash key, each with the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

from services.accounts.checks import Check, attempt, failed, overall
from services.accounts.checkup import Checkup
from services.accounts.current_tokens import fingerprint
from services.accounts.expiry_warning_days import WARN_DAYS
from services.accounts.rekeying import Rekeying
from services.accounts.resolver import AccountResolver, ConfiguredAccount
from services.accounts.token_states import NOT_DECRYPTED_STATE, TokenStates
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import STATUS_CHECKS, Json
from services.clients.graph.client import GraphClient
from services.clients.modash.client import ModashClient
from services.days import our_time
from services.errors import BusyError, InsightsError
from services.rendering.plurals import in_digits
from services.store.database import DatabaseUnavailableError

# The states of tokens, the worst first, and how they are said.
TOKEN_WORDS: Mapping[str, str] = {
    "expired": "expired",
    "invalid": "not accepted any more",
    NOT_DECRYPTED_STATE: "not decrypted",
    "missing_permission": "without a permission",
    "expiring": f"within {WARN_DAYS[0]} days of their end",
    "unknown": "not inspected",
    "ok": "in order",
}
NEED_A_PERSON = frozenset({"expired", "invalid", NOT_DECRYPTED_STATE, "missing_permission", "expiring"})

__all__ = ["Check", "Status", "overall"]

OLD_KEY = "old_key"

MOST_CHECKED = 5  # added accounts, of which each is checked with some calls; of more, `make account ARGS=check` does it


class Status:
    """Checks everything that the gateway needs, with one provider call for each."""

    def __init__(
        self,
        *,
        graph: GraphClient,
        accounts: AccountResolver,
        modash: ModashClient | None,
        cache: Cache,
        configured: ConfiguredAccount,
        checkup: Checkup,
        rekeying: Rekeying,
        tokens: TokenStates,
    ) -> None:
        self._graph = graph
        self._accounts = accounts
        self._modash = modash
        self._cache = cache
        self._configured = configured
        self._checks = checkup.checks
        self._checkup = checkup
        self._rekeying = rekeying
        self._tokens = tokens

    def latest(self) -> dict[str, object]:
        """Return all checks, at most some minutes old: whether one failed, and when they were made."""
        # An account that is added or gets another token is checked at once.
        known = fingerprint(" ".join([self._configured.token, *sorted(self._accounts.tokens_of_added())]))
        entry = self._cache.get_or_fetch("status", f"checks/{known}", STATUS_CHECKS, self._fetch)
        checks = cast("list[dict[str, object]]", entry.value["checks"])
        return {
            "status": overall(checks),
            "checked_at": our_time(entry.fetched_at),
            "checks": checks,
        }

    def checks(self) -> Iterator[Check]:
        """Check token, account, insights, version and Modash key; a failed check does not stop the others."""
        if self._configured.token:
            yield from self._configured_checks()
            yield self._version_check()
        elif not self._accounts.configured:
            yield Check("token", None, "Instagram is not configured.", "Set ACCESS_LONG_LIVED_TOKEN in .env.")
        yield from self._added_account_checks()
        if (key := attempt("encryption key", self._key_check)).ok is not None:
            yield key
        tokens = attempt("tokens", self._tokens_check)
        if tokens.ok is not None:
            yield tokens
        if self._modash is not None:
            yield _modash_check(self._modash)
        else:
            yield Check("Modash key", None, "Modash is not configured.", "Set MODASH_API_KEY in .env.")

    def _fetch(self, _known: CacheEntry | None) -> Json:
        return {"checks": list(map(Check.as_json, self.checks()))}

    def _configured_checks(self) -> Iterator[Check]:
        token, login = self._accounts.configured_token, self._configured.login
        find = partial(self._accounts.find, None)
        link = self._checks.link_of_settings(token, login, self._configured.page_id, find=find)
        yield attempt("token", partial(self._checks.token, token, login))
        yield link
        yield self._checks.insights_after(link, find)

    def _added_account_checks(self) -> Iterator[Check]:
        """Check each added account, if there are a few, in one line each; the result is kept for /accounts."""
        try:
            accounts = [account for account in self._accounts.all() if account.token != self._accounts.configured_token]
        except BusyError:
            return
        for account in accounts if len(accounts) <= MOST_CHECKED else ():
            name = self._accounts.username(account) or account.id
            checks = self._checkup.of(account)
            failed = next((check for check in checks if check.ok is False), None)
            if failed is None:
                yield Check(name, True, "; ".join(check.message for check in checks))
            else:
                yield replace(failed, name=name)

    def _key_check(self) -> Check:
        """Check whether every token is encrypted with the first key of several; no provider is called."""
        name = "encryption key"
        if not self._rekeying.has_old_keys:
            return Check(name, None, "TOKEN_KEY has one key, or none.")
        try:
            count = self._rekeying.count()
        except DatabaseUnavailableError:
            return Check(name, None, "The database is unavailable.", "Try again; /readyz says what is wrong.")
        if count.old:
            message = f"{count.old} of {count.all_} {_verb(count.old)} encrypted with an old key of TOKEN_KEY."
            return Check(name, True, message, "Run `make account ARGS=rekey`.", OLD_KEY, warns=True)
        opened = count.total - count.closed
        message = f"{opened} of {count.all_} {_verb(opened)} encrypted with the first key of TOKEN_KEY."
        return Check(name, True, message, "Remove the other keys, once every process was restarted with the first.")

    def _tokens_check(self) -> Check:
        """Report what the worker has found of all tokens; no provider is called, and no account is named."""
        try:
            states = self._tokens.of(self._accounts.listed()).values()
        except DatabaseUnavailableError:
            return Check("tokens", None, "The database is unavailable.", "/readyz says what is wrong.")
        if all(state.state == "unknown" and state.checked_at is None for state in states):
            return Check("tokens", None, "No token was inspected yet.")
        found = Counter(state.state for state in states)
        message = ", ".join(f"{found[name]} {TOKEN_WORDS[name]}" for name in TOKEN_WORDS if found[name])
        worst = next((state for name in TOKEN_WORDS for state in states if state.state == name), None)
        if worst is None or worst.state not in NEED_A_PERSON:
            return Check("tokens", True, message)
        next_step = f"GET /accounts names each. {worst.next_step or ''}".strip()
        is_expiring = worst.state == "expiring"
        return Check("tokens", is_expiring, message, next_step, worst.reason, warns=is_expiring)

    def _version_check(self) -> Check:
        served, requested = self._graph.served_version, self._graph.version
        if served is None:
            return Check("version", None, f"{requested} is requested; Instagram did not report which it serves.")
        if served != requested:
            return Check(
                "version", False, f"{requested} is requested, {served} is served.", f"Set GRAPH_API_VERSION={served}"
            )
        return Check("version", True, served)


def _modash_check(modash: ModashClient) -> Check:
    try:
        left = modash.credits()
    except InsightsError as error:
        return failed("Modash key", error)
    return Check("Modash key", True, "credits left: " + ("unknown" if left is None else in_digits(left)))


def _verb(number: int) -> str:
    return "is" if number == 1 else "are"
