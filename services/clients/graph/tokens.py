"""Tokens of both logins: exchanged, refreshed and inspected, and the pages and permissions that one of them has.

https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived and
https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/business-login

The providers take tokens and secrets of these calls in the query. No log line, exception or `repr` has a URL, and the
redaction learns each token before it is sent and when it arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.clients.error_mapping import provider_error
from services.clients.graph.error_codes import INSTAGRAM_RULES, instagram_rule
from services.clients.graph.errors import unreadable
from services.clients.graph.models import Account, id_of
from services.clients.graph.reads import GraphReads
from services.clients.guard.guard import NO_ACCOUNT
from services.clock import Clock
from services.errors import ProviderError, ProviderNotConfiguredError, ProviderRefusedError, ProviderUnavailableError

NEVER = math.inf
APP_REFUSED = "Instagram does not accept the app's id or secret"
PAGES_AT_ONCE, MOST_LISTS = 100, 50  # pages of a list, and lists
PAGE_FIELDS = "id,name,access_token,instagram_business_account{id,username}"
NO_END_FROM = 4_102_444_800  # The year 2100, in Unix seconds: a later end is no end.
SHORT_LIVED = 2 * 86_400.0  # seconds; a token that lives for less is exchanged: a short-lived one lives 1 to 2 hours
SETTINGS: Mapping[str, str] = {
    "facebook": "APP_ID and APP_SECRET",
    "instagram": "INSTAGRAM_APP_ID and INSTAGRAM_APP_SECRET",
}


@dataclass(frozen=True)
class App:
    """The id and secret of an app; each login has an app of its own."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class NewToken:
    """A token that Meta gave out.

    `expires_at` is in Unix seconds, `NEVER` for a token without an end, None where the answer does not say it.
    `account_id` is the account that the token belongs to, where the answer names it.
    """

    token: str = field(repr=False)
    expires_at: float | None
    scopes: tuple[str, ...] | None = None
    account_id: str | None = None


@dataclass(frozen=True)
class TokenDetails:
    """What Meta reports of a token; None is what it does not report. Times are as in `NewToken`.

    `granular_scopes` are the ids of the pages and accounts that a scope was granted for; a scope without ids is granted
    for all. `failure` says why a token is not valid.
    """

    is_valid: bool
    type: str | None
    app_id: str | None
    issued_at: float | None
    expires_at: float | None
    data_access_expires_at: float | None
    scopes: tuple[str, ...] | None
    granular_scopes: Mapping[str, tuple[str, ...]]
    user_id: str | None
    profile_id: str | None
    failure: ProviderError | None

    def granted_accounts(self) -> list[str]:
        """Return the accounts that were ticked in the login dialog."""
        of_accounts = [ids for scope, ids in self.granular_scopes.items() if scope.startswith("instagram_")]
        return sorted({each for ids in of_accounts for each in ids})

    def may_be_short_lived(self, now: float) -> bool:
        """Return whether a token that was just given has to be exchanged; also if its end is not known.

        Its last days count as a short life too: what is made from it would end with it.
        """
        if self.type not in {None, "USER"}:
            return False
        return self.expires_at is None or self.expires_at - now < SHORT_LIVED


@dataclass(frozen=True)
class Page:
    """A page that a user manages, its token, and the account that is linked to it, as far as Meta shows them."""

    id: str
    name: str | None
    token: str | None = field(repr=False)
    account_id: str | None
    username: str | None


@dataclass(frozen=True)
class PageList:
    """The pages of a user; `is_complete` is false where there are more than were read."""

    pages: tuple[Page, ...]
    is_complete: bool


@dataclass(frozen=True)
class TokenOwner:
    """The user or page (Facebook), or the account (Instagram), that a token belongs to."""

    id: str
    name: str | None


class TokenClient:
    """Calls about tokens; every method raises the `ProviderError` of the refusal.

    No refusal of a token is counted against an account, so that a token may be tried before it is used.
    """

    def __init__(
        self,
        reads: GraphReads,
        *,
        apps: Mapping[str, App],
        code_url: str,
        learn: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """Build the client; `apps` are those of each login, `learn` gets each token for the redaction."""
        self._reads = reads
        self._apps = apps
        self._code_url = code_url
        self._learn = learn
        self._clock = clock

    def can_inspect(self) -> bool:
        """Return whether there is an app token, without which Meta only inspects the tokens of the app's developers."""
        app = self._apps["facebook"]
        return bool(app.id and app.secret)

    def exchange_short(self, login: str, token: str) -> NewToken:
        """Return the long-lived token (60 days) for a short-lived one, which must still be valid.

        Raises `ProviderNotConfiguredError` where the app's id or secret is not set.
        """
        self._learn(token)
        app = self._app(login)
        if login == "instagram":
            params = {"grant_type": "ig_exchange_token", "client_secret": app.secret, "access_token": token}
            return self._given(self._asked(login, "access_token", params))
        params = {
            "grant_type": "fb_exchange_token",
            "client_id": app.id,
            "client_secret": app.secret,
            "fb_exchange_token": token,
        }
        return self._given(self._asked(login, f"{self._reads.version}/oauth/access_token", params))

    def exchange_code(self, code: str, *, redirect_uri: str, login: str = "instagram") -> NewToken:
        """Return the short-lived token (1 to 2 hours) for the code of a login; a code is accepted only once.

        The browser shows the code with `#_` at its end, which is no part of it.

        https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow
        """
        app = self._app(login)
        code = code.strip().removesuffix("#_")
        self._learn(code)
        form = {"client_id": app.id, "client_secret": app.secret, "redirect_uri": redirect_uri, "code": code}
        if login == "facebook":
            return self._given(self._asked(login, f"{self._reads.version}/oauth/access_token", form))
        form["grant_type"] = "authorization_code"
        try:
            answer = self._reads.post_form(self._code_url, form)
        except ProviderRefusedError as error:
            raise ProviderRefusedError(
                "Instagram does not accept the code" + (f": {error.words}" if error.words else "."),
                provider="instagram",
                hint="Log in again for a new code: one is valid for an hour and accepted once. Check that redirect_uri "
                f"is the one of the login, and {SETTINGS['instagram']}.",
                reference=error.reference,
                words=error.words,
                charge=error.charge,
            ) from None
        listed = answer.get("data")
        first = listed[0] if isinstance(listed, list) and listed else answer
        return self._given(first if isinstance(first, dict) else answer, lifetime=3600)

    def refresh(self, token: str) -> NewToken:
        """Return the token of an Instagram login for 60 days more; it may be the same one.

        The present one must be valid and at least 24 hours old, and remains valid until its own end.
        """
        self._learn(token)
        params = {"grant_type": "ig_refresh_token", "access_token": token}
        return self._given(self._reads.about_token("instagram", "refresh_access_token", params))

    def details(self, token: str) -> TokenDetails:
        """Return what Meta reports of a token of the Facebook login, whether or not it is valid.

        https://developers.facebook.com/docs/graph-api/reference/debug_token
        """
        self._learn(token)
        app = self._app("facebook")
        inspector = Account(NO_ACCOUNT, f"{app.id}|{app.secret}", "facebook")
        data = self._reads.get(inspector, "debug_token", {"input_token": token}).get("data")
        if not isinstance(data, dict):
            raise unreadable("an answer without data")
        return TokenDetails(
            is_valid=data.get("is_valid") is True,
            type=_text(data.get("type")),
            app_id=_text(data.get("app_id")),
            issued_at=_moment(data.get("issued_at")) or None,
            expires_at=_end(data.get("expires_at")),
            data_access_expires_at=_end(data.get("data_access_expires_at")),
            scopes=_names(data.get("scopes")),
            granular_scopes=_granular(data.get("granular_scopes")),
            user_id=_text(data.get("user_id")),
            profile_id=_text(data.get("profile_id")),
            failure=_failure(data.get("error")),
        )

    def owner(self, login: str, token: str) -> TokenOwner:
        """Return what a token belongs to; of the Instagram login that is the account."""
        self._learn(token)
        key, name = ("user_id", "username") if login == "instagram" else ("id", "name")
        found = self._reads.get(Account(NO_ACCOUNT, token, login), "me", {"fields": f"{key},{name}"})
        if (owner := id_of(found.get(key))) is None:
            raise unreadable("an answer without an id")
        return TokenOwner(owner, _text(found.get(name)))

    def permissions(self, token: str) -> Mapping[str, str]:
        """Return the permissions that a user of the Facebook login was asked for: `granted`, `declined`, `expired`.

        https://developers.facebook.com/docs/graph-api/reference/user/permissions
        """
        self._learn(token)
        answer = self._reads.get(Account(NO_ACCOUNT, token, "facebook"), "me/permissions", {})
        items = [item for item in _items(answer) if isinstance(item.get("permission"), str)]
        return {str(item["permission"]): str(item.get("status")) for item in items}

    def pages(self, token: str) -> PageList:
        """Return the pages that the user of a token manages, each with its own token and the linked account.

        A page of a business portfolio is missing, or lacks its account, where `business_management` is not granted.

        https://developers.facebook.com/docs/graph-api/reference/user/accounts
        """
        self._learn(token)
        found: dict[str, Page] = {}
        params, user = {"fields": PAGE_FIELDS, "limit": str(PAGES_AT_ONCE)}, Account(NO_ACCOUNT, token, "facebook")
        for _ in range(MOST_LISTS):
            answer = self._reads.get(user, "me/accounts", params)
            for item in _items(answer):
                if (page := self._page(item)) is not None:
                    found.setdefault(page.id, page)
            # `next` itself contains the token and is never followed.
            paging = answer.get("paging")
            cursors = paging.get("cursors") if isinstance(paging, dict) and paging.get("next") is not None else None
            after = cursors.get("after") if isinstance(cursors, dict) else None
            if not isinstance(after, str) or after == params.get("after"):
                return PageList(tuple(found.values()), is_complete=True)
            params = {**params, "after": after}
        return PageList(tuple(found.values()), is_complete=False)

    def _page(self, item: Mapping[str, object]) -> Page | None:
        page_id, linked = id_of(item.get("id")), item.get("instagram_business_account")
        if page_id is None:
            return None
        if token := _text(item.get("access_token")):
            self._learn(token)
        account = linked if isinstance(linked, dict) else {}
        found = id_of(account.get("id"))
        return Page(page_id, _text(item.get("name")), token, found, _text(account.get("username")))

    def _app(self, login: str) -> App:
        app = self._apps[login]
        if not app.secret or not app.id:
            raise ProviderNotConfiguredError(
                f"{SETTINGS[login]} are missing, without which no token of this login can be exchanged or inspected.",
                provider="instagram",
                hint=f"Set {SETTINGS[login]} (docs/set-up.md), then try again.",
            )
        return app

    def _asked(self, login: str, path: str, params: Mapping[str, str]) -> Mapping[str, object]:
        """Ask for an exchange. Meta refuses a wrong secret with code 1, which is a passing fault everywhere else."""
        try:
            return self._reads.about_token(login, path, params)
        except ProviderUnavailableError as error:
            # Code 2 and every 5xx are the same failure, except for what is done about them.
            is_code_one = error.retry_strategy is INSTAGRAM_RULES[1, None].retry_strategy
            if not is_code_one or "client" not in (error.words or "").lower():
                raise
            raise ProviderRefusedError(
                f"{APP_REFUSED}: {error.words}",
                provider="instagram",
                hint=f"Copy {SETTINGS[login]} again (docs/set-up.md).",
                reference=error.reference,
                words=error.words,
                charge=error.charge,
            ) from None

    def _given(self, answer: Mapping[str, object], *, lifetime: float | None = None) -> NewToken:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise unreadable("an answer without a token")
        self._learn(token)
        seconds = _moment(answer.get("expires_in")) or lifetime
        return NewToken(
            token,
            None if seconds is None else self._clock.timestamp() + seconds,
            _names(answer.get("permissions")),
            id_of(answer.get("user_id")),
        )


def _items(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    data = answer.get("data")
    if not isinstance(data, list):
        raise unreadable("an answer without data")
    return [item for item in data if isinstance(item, dict)]


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value >= 0 else None  # type: ignore[arg-type,operator]  # A number, then.


def _end(value: object) -> float | None:
    """Return when something ends; Meta writes 0 for never."""
    moment = _moment(value)
    return NEVER if moment is not None and (moment == 0 or moment >= NO_END_FROM) else moment


def _names(value: object) -> tuple[str, ...] | None:
    """Return a list of names, which comes as a list or comma-separated."""
    listed = value.split(",") if isinstance(value, str) else value
    return tuple(str(name).strip() for name in listed) if isinstance(listed, list) else None


def _granular(value: object) -> dict[str, tuple[str, ...]]:
    found = {}
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict) and isinstance(item.get("scope"), str):
            targets = item.get("target_ids")
            found[item["scope"]] = tuple(map(str, targets)) if isinstance(targets, list) else ()
    return found


def _failure(error: object) -> ProviderError | None:
    """Return why a token is not valid, by the codes that stand within the answer."""
    if not isinstance(error, dict):
        return None
    code, subcode = error.get("code"), error.get("subcode")
    rule = instagram_rule(code if isinstance(code, int) else None, subcode if isinstance(subcode, int) else None, "")
    return provider_error(rule or INSTAGRAM_RULES[190, None], "instagram")
