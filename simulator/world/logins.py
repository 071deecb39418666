"""Logins that went wrong: what a person granted to the app, each by tokens and a code of its own, as data.

`EAASHORT-no-page` is the short-lived token of the state `no-page` by the login with Facebook, `IGAASHORT-expired` one
of the Instagram login, `AQSANDBOX-no-page` the authorization code of either.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

OWN, SECOND, THIRD = "corner.bakery", "ninety_nine", "was.personal"  # accounts that every simulator has

BASIC, INSIGHTS, BUSINESS = "instagram_basic", "instagram_manage_insights", "business_management"
SCOPES = (BASIC, INSIGHTS, "pages_read_engagement", "pages_show_list", BUSINESS, "public_profile")
WITHOUT_BUSINESS = tuple(scope for scope in SCOPES if scope != BUSINESS)
PERMISSIONS = ("instagram_business_basic", "instagram_business_manage_insights")
BOTH = ("facebook", "instagram")

# Subcodes of 190.
EXPIRED, REMOVED, CHECKPOINT, PASSWORD, UNCONFIRMED, LOGGED_OUT, ROLE_LOST = 463, 458, 459, 460, 464, 467, 492

FACEBOOK_TOKEN = re.compile(r"(EAASHORT|EAASIMLONG|EAASIMPAGE|SIMFACEBOOK)-([a-z-]+?)(?:-(\d))?")
INSTAGRAM_TOKEN = re.compile(r"(IGAASHORT|IGAASIMLONG|SIMINSTAGRAM)-([a-z-]+)")
CODE = re.compile(r"AQSANDBOX-([a-z-]+?)(?:-\d+)?")  # A code can be used once; a number at its end makes another one.


@dataclass(frozen=True)
class GrantedPage:
    """A Page of the user: whose it is, which account it shows (by given names), and whether /me/accounts lists it."""

    owner: str = OWN
    shows: str | None = OWN
    is_listed: bool = True


@dataclass(frozen=True)
class LoginState:
    """What a login granted, and what is refused in spite of it. Where nothing is said, all is well."""

    name: str
    about: str
    logins: tuple[str, ...] = ("facebook",)
    pages: tuple[GrantedPage, ...] = (GrantedPage(),)
    scopes: tuple[str, ...] = SCOPES
    permissions: tuple[str, ...] = PERMISSIONS  # of the Instagram login
    ticked_pages: tuple[str, ...] | None = None  # in the dialog, by the given names of their owners; None: all
    ticked_accounts: tuple[str, ...] | None = None
    token_subcode: int | None = None  # of the refusal of every call with the token
    reads: str = "answered"  # "missing" (100/33) or "permission" (10): what reading the account itself gives
    insights: str = "answered"  # "permission" (10) or "empty"
    of_other_app: bool = False
    is_served: bool = True  # False: every call of the Instagram login is refused, those about tokens too
    code_refusal: str | None = None  # of the exchange of a code by the Instagram login


UNLISTED = (GrantedPage(is_listed=False),)
NO_ACCOUNT = (GrantedPage(shows=None),)
NO_ROLE = "Insufficient developer role"

STATES: Mapping[str, LoginState] = {
    state.name: state
    for state in (
        LoginState("granted", "all is well", BOTH),
        LoginState(
            "several",
            "three Pages, each with an account",
            pages=(GrantedPage(), GrantedPage(SECOND, SECOND), GrantedPage(THIRD, THIRD)),
        ),
        LoginState("no-page", "the user has no Page; business_management is granted", pages=(), reads="missing"),
        LoginState(
            "no-page-unclear",
            "the user has no Page; without business_management that looks like `portfolio`",
            pages=(),
            scopes=WITHOUT_BUSINESS,
            reads="missing",
        ),
        LoginState(
            "page-not-ticked",
            "another Page and the account were ticked in the login dialog, the account's Page was not",
            pages=(GrantedPage(SECOND, None), *UNLISTED),
            ticked_pages=(SECOND,),
            ticked_accounts=(OWN,),
            reads="missing",
        ),
        LoginState(
            "portfolio",
            "the Page is in a business portfolio, and business_management is missing: no Page is listed",
            pages=UNLISTED,
            scopes=WITHOUT_BUSINESS,
        ),
        LoginState(
            "portfolio-ticked",
            "as `portfolio`; Page and account were ticked one by one, so that granular_scopes names them",
            pages=UNLISTED,
            scopes=WITHOUT_BUSINESS,
            ticked_pages=(OWN,),
            ticked_accounts=(OWN,),
        ),
        LoginState(
            "portfolio-page-only",
            "as `portfolio`; of the two only the Page was named in granular_scopes",
            pages=UNLISTED,
            scopes=WITHOUT_BUSINESS,
            ticked_pages=(OWN,),
        ),
        LoginState(
            "portfolio-without-account",
            "as `portfolio`, but the Page is listed, without its account",
            pages=NO_ACCOUNT,
            scopes=WITHOUT_BUSINESS,
        ),
        LoginState(
            "personal",
            "the account is a personal one: its Page has no account, and the Instagram login cannot read it",
            BOTH,
            pages=NO_ACCOUNT,
            reads="missing",
        ),
        LoginState("not-linked", "the Page and the account are not linked", pages=NO_ACCOUNT, reads="missing"),
        LoginState(
            "linked-elsewhere",
            "the account is linked to another Page than its own; the user manages both",
            pages=(GrantedPage(OWN, None), GrantedPage(SECOND, OWN)),
        ),
        LoginState(
            "wrong-scopes",
            "the permissions of the other login were granted",
            BOTH,
            pages=(),
            scopes=("public_profile", *PERMISSIONS),
            permissions=(BASIC, INSIGHTS),
            reads="permission",
            insights="permission",
        ),
        LoginState(
            "no-pages-show-list",
            "pages_show_list was not granted, so that no Page is listed",
            pages=UNLISTED,
            scopes=tuple(scope for scope in SCOPES if scope != "pages_show_list"),
            reads="permission",
        ),
        LoginState(
            "no-insights",
            "the permission for insights was not granted",
            BOTH,
            scopes=tuple(scope for scope in SCOPES if scope != INSIGHTS),
            permissions=PERMISSIONS[:1],
            insights="permission",
        ),
        LoginState(
            "no-insights-empty",
            "as `no-insights`, but insights come empty instead of refused",
            BOTH,
            scopes=tuple(scope for scope in SCOPES if scope != INSIGHTS),
            permissions=PERMISSIONS[:1],
            insights="empty",
        ),
        LoginState(
            "role-missing",
            "the app is in development, and the user has no role on it",
            BOTH,
            reads="permission",
            insights="permission",
            code_refusal=NO_ROLE,
        ),
        LoginState(
            "in-development",
            "the app is in development, which was noticed only after the login: every read is refused",
            BOTH,
            reads="permission",
            insights="permission",
        ),
        LoginState(
            "standard-access",
            "the app is live with standard access, and the account has no role on it",
            ("instagram",),
            is_served=False,
        ),
        LoginState("private", "the account is private", BOTH, reads="missing"),
        LoginState("age-gated", "the account has a minimum age", BOTH, reads="missing"),
        LoginState("expired", "the token has expired (190/463)", BOTH, token_subcode=EXPIRED),
        LoginState("revoked", "the user removed the app (190/458)", BOTH, token_subcode=REMOVED),
        LoginState(
            "checkpoint", "Facebook wants the user to confirm something (190/459)", BOTH, token_subcode=CHECKPOINT
        ),
        LoginState("password-changed", "the user changed the password (190/460)", BOTH, token_subcode=PASSWORD),
        LoginState("unconfirmed", "the user's account is not confirmed (190/464)", BOTH, token_subcode=UNCONFIRMED),
        LoginState("logged-out", "the session of the token is over (190/467)", BOTH, token_subcode=LOGGED_OUT),
        LoginState("page-role-lost", "the user lost the role on the Page (190/492)", token_subcode=ROLE_LOST),
        LoginState("other-app", "the token belongs to another app", BOTH, of_other_app=True),
    )
}
GRANTED = STATES["granted"]


@dataclass(frozen=True)
class LoginToken:
    """A token of such a login: its state, whether it is a short-lived one, and which Page's it is, if any."""

    state: LoginState
    is_short: bool
    page: int | None = None


class Logins:
    """The logins as they stand: one whose cause was removed is like `granted`, by the tokens that it has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._repaired: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[LoginState]:
        return iter(STATES.values())

    def reset(self) -> None:
        """Bring every cause back."""
        with self._lock:
            self._repaired = frozenset()

    def is_repaired(self, name: str) -> bool:
        """Return whether the cause of a state was removed."""
        return name in self._repaired

    def repair(self, name: str, *, is_repaired: bool) -> None:
        """Remove the cause of a state, or bring it back."""
        with self._lock:
            self._repaired = self._repaired | {name} if is_repaired else self._repaired - {name}

    def state(self, name: str) -> LoginState | None:
        """Return a state by its name, as it is now."""
        found = STATES.get(name)
        return replace(GRANTED, name=name) if found and name in self._repaired else found

    def by_facebook_token(self, token: str) -> LoginToken | None:
        """Return what a token of the login with Facebook is, if it belongs to a state."""
        match = FACEBOOK_TOKEN.fullmatch(token)
        state = self.state(match[2]) if match else None
        if match is None or state is None or "facebook" not in STATES[state.name].logins:
            return None
        page = int(match[3]) if match[3] else None
        if (match[1] == "EAASIMPAGE") != (page is not None) or (page is not None and page >= len(state.pages)):
            return None
        return LoginToken(state, match[1] == "EAASHORT", page)

    def by_instagram_token(self, token: str) -> LoginToken | None:
        """Return what a token of the Instagram login is, if it belongs to a state."""
        match = INSTAGRAM_TOKEN.fullmatch(token)
        state = self.state(match[2]) if match else None
        if match is None or state is None or "instagram" not in STATES[state.name].logins:
            return None
        return LoginToken(state, match[1] == "IGAASHORT")

    def by_code(self, code: str, login: str) -> LoginState | None:
        """Return the state whose authorization code this is, by one login."""
        match = CODE.fullmatch(code)
        state = self.state(match[1]) if match else None
        return state if state and login in STATES[state.name].logins else None


def facebook_token(state: LoginState, *, short: bool = False, page: int | None = None) -> str:
    """Return a token of a state by the login with Facebook: short-lived, long-lived or of one of its Pages."""
    if page is not None:
        return f"EAASIMPAGE-{state.name}-{page}"
    return f"{'EAASHORT' if short else 'EAASIMLONG'}-{state.name}"


def instagram_token(state: LoginState, *, short: bool = False) -> str:
    """Return a token of a state by the Instagram login."""
    return f"{'IGAASHORT' if short else 'IGAASIMLONG'}-{state.name}"
