"""Tokens of Instagram logins: how old they are, when they end, how they are exchanged and refreshed."""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.graph.authorization_codes import SHORT_LIFETIME
from simulator.graph.error_table import TOKEN_TEXTS
from simulator.graph.errors import METHOD, GraphError, cannot_parse
from simulator.switches import Switches
from simulator.world.accounts import INSTAGRAM_APP_SECRET, Account, Accounts
from simulator.world.days import PACIFIC
from simulator.world.draw import digits
from simulator.world.logins import PERMISSIONS as GRANTED_PERMISSIONS
from simulator.world.logins import LoginState, instagram_token

SHORT = "IGAASHORT"  # Any token that begins so can be exchanged, for one of the sandbox account.
YOUNGEST = 86_400  # seconds; a token is refused a refresh before
DAY_SECONDS = 86_400
AGE = 5 * DAY_SECONDS  # of the long-lived token of a login that went wrong, at the start
PERMISSIONS = ",".join(GRANTED_PERMISSIONS)

Json = dict[str, Any]


@dataclass(frozen=True)
class Grant:
    """A long-lived token and how long it lives."""

    token: str
    account: Account
    issued: float
    lifetime: float
    state: LoginState | None = None  # of a login that went wrong

    @property
    def ends(self) -> float:
        """When it is no longer accepted."""
        return self.issued + self.lifetime


class InstagramTokens:
    """All tokens that are out: the one each account began with, and those that were given since."""

    def __init__(self, accounts: Accounts, switches: Switches, tokens_from: float) -> None:
        self._accounts, self._switches, self._tokens_from = accounts, switches, tokens_from
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget the tokens that were given."""
        with self._lock:
            self._numbers = itertools.count(1)
            self._given: dict[str, Grant] = {}

    def of(self, token: str, now: float) -> Grant | None:
        """Return what a token grants, be it over or not."""
        if token in self._given:
            return self._given[token]
        if found := self._accounts.logins.by_instagram_token(token):
            issued = now if found.is_short else min(self._tokens_from, now) - AGE
            lifetime = SHORT_LIFETIME if found.is_short else self._switches["igl_token_seconds"]
            return Grant(token, self._accounts.at(0), issued, lifetime, found.state)
        if given := self._accounts.grants.of(token):
            is_mine = given.login == "instagram" and given.ends is not None
            life = (given.ends or 0) - given.issued
            return Grant(token, self._accounts.at(given.index), given.issued, life) if is_mine else None
        account = self._accounts.by_instagram_token(token)
        if account is None:
            return None
        # Before the simulator's start the tokens are as old as at its start, so that its clock may go back.
        issued = min(self._tokens_from, now) - account.kind.token_age * DAY_SECONDS
        return Grant(token, account, issued, self._switches["igl_token_seconds"])

    def valid(self, token: str, now: float) -> Grant:
        """Return what a token grants, or refuse it."""
        grant = self.of(token, now)
        if grant is None:
            raise cannot_parse()
        if grant.state and not grant.state.is_served:
            raise unsupported_request()
        if grant.state and (subcode := grant.state.token_subcode):
            raise GraphError(TOKEN_TEXTS[subcode], 190, subcode=subcode)
        if grant.state is None and (
            subcode := self._accounts.grants.refusal(grant.account.index, "instagram", grant.issued)
        ):
            raise GraphError(TOKEN_TEXTS[subcode], 190, subcode=subcode)
        if now >= grant.ends:
            ended = datetime.fromtimestamp(grant.ends, PACIFIC).strftime("%A, %d-%b-%y %H:%M:%S %Z")
            raise GraphError(f"Error validating access token: Session has expired on {ended}.", 190, subcode=463)
        return grant

    def exchange(self, query: Mapping[str, str], now: float) -> Json:
        """Answer `GET /access_token` for a short-lived token."""
        if query.get("grant_type") != "ig_exchange_token":
            raise unsupported_request()
        if not query.get("client_secret"):
            raise GraphError("Missing client_secret parameter.", 1, status=400)
        if query["client_secret"] != INSTAGRAM_APP_SECRET:
            raise GraphError("Error validating client secret.", 1, status=400)
        if not query.get("access_token", "").startswith(SHORT):
            self.valid(query.get("access_token", ""), now)
            raise GraphError("Session key invalid. This could be because the session key has an incorrect format.", 452)
        state = grant.state if (grant := self.of(query["access_token"], now)) else None
        if state is None:
            return self._answer(self._give(self._accounts.at(0), now))
        self.valid(query["access_token"], now)
        if state.of_other_app:
            raise GraphError("Error validating access token: It was issued to another application.", 190)
        return self._answer(
            Grant(instagram_token(state), self._accounts.at(0), now, self._switches["igl_token_seconds"])
        )

    def refresh(self, query: Mapping[str, str], now: float) -> Json:
        """Answer `GET /refresh_access_token` for a long-lived token that is old enough and not over."""
        if query.get("grant_type") != "ig_refresh_token":
            raise unsupported_request()
        grant = self.valid(query.get("access_token", ""), now)
        if now - grant.issued < YOUNGEST:
            raise GraphError("(#100) The access token must be at least 24 hours old to be refreshed")
        token = None if self._switches["igl_refresh_new_token"] and grant.state is None else grant.token
        return {**self._answer(self._give(grant.account, now, token)), "permissions": PERMISSIONS}

    def state_of_code(self, code: str) -> LoginState | None:
        """Return the state of the login that gave a code, if it went wrong."""
        return self._accounts.logins.by_code(code, "instagram")

    def give_short(self, code: str, now: float) -> tuple[str, Account]:
        """Return the short-lived token that a code of the sandbox account is exchanged for, and that account."""
        account = self._accounts.at(0)
        if state := self._accounts.logins.by_code(code, "instagram"):
            return instagram_token(state, short=True), account
        token = f"{SHORT}{digits(16, 'code', code)}"
        with self._lock:
            self._given[token] = Grant(token, account, now, SHORT_LIFETIME)
        return token, account

    def _give(self, account: Account, now: float, token: str | None = None) -> Grant:
        with self._lock:
            tail = digits(16, "given token", account.seed, account.index)
            name = token or f"IGAASIM{account.index:05d}X{next(self._numbers):05d}{tail}"
            self._given[name] = Grant(name, account, now, self._switches["igl_token_seconds"])
            return self._given[name]

    def _answer(self, grant: Grant) -> Json:
        return {"access_token": grant.token, "token_type": "bearer", "expires_in": int(grant.lifetime)}


def unsupported_request(method: str = "get") -> GraphError:
    """Return the refusal of a token call that is not made as it should be."""
    return GraphError(f"Unsupported request - method type: {method}", 100, METHOD)
