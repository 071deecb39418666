"""Why an account cannot be connected or read: each cause with what shows it and the next step, from what Meta answered.

Codes, permissions (`scopes`) and what each was granted for (`granular_scopes`) decide. Where they leave several causes,
all of them are named, with the check that separates them.

https://developers.facebook.com/docs/graph-api/reference/debug_token
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from services.accounts.needed_permissions import (
    ADS,
    BASIC,
    INSIGHTS,
    NEEDED_SCOPES,
    OF_FACEBOOK,
    OF_INSTAGRAM,
    READ_PAGES,
)
from services.accounts.next_steps import with_connect
from services.clients.graph.error_codes import (
    CHECKPOINT,
    INSTAGRAM_RULES,
    NOT_ACCEPTED,
    REVOKED,
    ROLE_MISSING,
    SESSION_INVALID,
    UNCONFIRMED,
)
from services.clients.graph.logins import GRAPH_HOSTS
from services.clients.graph.tokens import APP_REFUSED, TokenDetails
from services.errors import (
    ObjectNotFoundError,
    PermissionDeniedError,
    ProviderError,
    ProviderRefusedError,
    RetryStrategy,
    TokenExpiredError,
    TokenInvalidError,
)

INSTAGRAM = "instagram"
APP_DASHBOARD = "developers.facebook.com, My Apps, your app"
APP_SETTINGS = {
    "facebook": f"APP_ID and APP_SECRET ({APP_DASHBOARD}, App settings, Basic)",
    "instagram": "INSTAGRAM_APP_ID and INSTAGRAM_APP_SECRET "
    f"({APP_DASHBOARD}, Instagram, API setup with Instagram login)",
}
LOG_IN = {login: with_connect(login) for login in ("facebook", "instagram")}
# Codes of causes by which the state of an account is decided.
APP_NOT_ACCEPTED, PAGE_ROLE_MISSING = "app_not_accepted", "page_role_missing"
SCOPES_MISSING, SCOPES_OF_OTHER_LOGIN = "scopes_missing", "scopes_of_other_login"
INSIGHTS_PERMISSION_MISSING, ADS_PERMISSION_MISSING = "insights_permission_missing", "ads_permission_missing"
OF_TOKENS = "token_"  # how the codes begin of what is wrong with a token itself
# How debug_token calls what is no token of its host.
UNKNOWN_TOKEN = frozenset({f"{OF_TOKENS}{NOT_ACCEPTED}", f"{OF_TOKENS}{REVOKED}"})
UNCLEAR = frozenset({NOT_ACCEPTED, SESSION_INVALID})  # A long-lived token is refused like this, too.
NOT_SERVED = "unsupported request - method type"
"""What graph.instagram.com says with code 100 of every call, also of an exchange, for an account that the app may not
serve: one without a role on an app of standard access. No code of its own shows it.

https://github.com/diwenne/openreply/pull/17
"""
BY_ID = 'make connect ARGS="--id <account id>"'


@dataclass(frozen=True)
class Cause:
    """One cause: a code that never changes, what shows it, and what to do."""

    code: str
    fact: str
    next_step: str


@dataclass(frozen=True)
class Diagnosis:
    """One cause, or several that Meta's answers do not tell apart, with the check that does."""

    causes: tuple[Cause, ...]
    check: str | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the causes."""
        return tuple(cause.code for cause in self.causes)

    @property
    def fact(self) -> str:
        """What was found, in one text."""
        facts = list(dict.fromkeys(cause.fact for cause in self.causes))
        return facts[0] if len(facts) == 1 else "One of these: " + " ".join(facts)

    @property
    def next_step(self) -> str:
        """What to do, in one text."""
        steps = " Or: ".join(dict.fromkeys(cause.next_step for cause in self.causes))
        return f"{self.check} {steps}" if self.check else steps

    def for_token(self, login: str, generate: str) -> Diagnosis:
        """Return the same diagnosis of a token that is replaced in another way than by `make connect`."""
        causes = (replace(cause, next_step=cause.next_step.replace(LOG_IN[login], generate)) for cause in self.causes)
        return replace(self, causes=tuple(causes))

    def as_json(self) -> dict[str, object]:
        """Return it for machines."""
        return {"causes": [asdict(cause) for cause in self.causes], "check": self.check}


def of_settings(login: str) -> Diagnosis:
    """Return the diagnosis where the app's id or secret is missing."""
    fact = f"{APP_SETTINGS[login].partition(' (')[0]} are missing: a token cannot be exchanged or inspected."
    step = f"Set {APP_SETTINGS[login]} in .env."
    if login == INSTAGRAM:
        step += " A token that was generated there lives for 60 days already: give --long-lived instead."
    return one("app_settings_missing", fact, step)


def of_other_login(login: str, actual: str) -> Diagnosis:
    """Return the diagnosis of a token that belongs to the other login."""
    return one(
        "token_of_other_login",
        f"The token belongs to the login {actual}; {GRAPH_HOSTS[login]} cannot read it.",
        f"Use it with --login {actual} (GRAPH_LOGIN={actual} for the token of .env), or generate one of the login "
        f"{login}.",
    )


def of_token(login: str, details: TokenDetails | None, error: ProviderError | None, *, app_id: str) -> Diagnosis | None:
    """Return what is wrong with a token itself, or None.

    `error` is the failure of the inspection, which is made with the app's own token, or of the first call with the
    token where it cannot be inspected.
    """
    if details is None and error is not None:
        return _of_inspection(login, error)
    if details is None:
        return None
    if details.app_id not in {None, app_id}:
        return of_other_app(login)
    if not details.is_valid:
        return of_refused_token(login, details.failure)
    if details.type == "APP":
        return one("token_of_app", "The token is the app's own, which reads no account.", f"{LOG_IN[login]}.")
    return None


def _of_inspection(login: str, error: ProviderError) -> Diagnosis | None:
    if login == "instagram":
        return of_refused_token(login, error) if isinstance(error, TokenInvalidError | TokenExpiredError) else None
    if isinstance(error, TokenInvalidError) or _is_unknown_app(error):
        return of_refused_app(login)
    # The parameters of the call never change, so that its code 100 is about the token's app.
    if isinstance(error, ProviderRefusedError) and error.retry_strategy is RetryStrategy.SPLIT:
        return of_other_app(login)
    return None


def of_refused_app(login: str) -> Diagnosis:
    """Return the diagnosis of an app's id and secret that Meta does not accept."""
    names = APP_SETTINGS[login]
    fact = f"Meta does not accept {names.partition(' (')[0]} as the id and the secret of one app."
    return one(APP_NOT_ACCEPTED, fact, f"Copy {names} again.")


def of_exchange(login: str, error: ProviderError) -> Diagnosis | None:
    """Return why a token is not exchanged; None where the refusal alone does not show it, or passes."""
    if error.message.startswith(APP_REFUSED) or _is_unknown_app(error):
        return of_refused_app(login)
    if is_not_served(login, error):
        return _not_served(login)
    is_of_token = isinstance(error, TokenInvalidError | TokenExpiredError)
    return of_refused_token(login, error) if is_of_token and error.reason not in UNCLEAR else None


def is_not_served(login: str, error: ProviderError) -> bool:
    """Return whether a refusal is about the app and the account, and not about the call."""
    is_refused = login == INSTAGRAM and isinstance(error, ProviderRefusedError)
    return is_refused and NOT_SERVED in (error.words or "").lower()


def _not_served(login: str) -> Diagnosis:
    return _refused_app_user(login, (), "Instagram refuses every call for the account, though the login succeeded.")


def _is_unknown_app(error: ProviderError) -> bool:
    return error.message.startswith(INSTAGRAM_RULES[101, None].message.removesuffix("."))


def of_other_app(login: str) -> Diagnosis:
    """Return the diagnosis of a token that belongs to another app."""
    names = APP_SETTINGS[login]
    return one(
        "token_of_other_app",
        f"The token belongs to another app than {names.split()[0]}.",
        f"Choose the app of {names.split()[0]} where you generate the token, or set {names} to those of the "
        "token's app.",
    )


def of_refused_token(login: str, error: ProviderError | None) -> Diagnosis:
    """Return the diagnosis of a token that Meta refuses, by the code and subcode of the refusal."""
    reason = (error.reason if error is not None else None) or NOT_ACCEPTED
    if reason == ROLE_MISSING:
        step = f"Give the user a role on the Page. {LOG_IN[login]}."
        return one(PAGE_ROLE_MISSING, "The user has lost the role on the Page.", step)
    fact = error.message if error is not None else "Instagram does not accept the token."
    before = {
        CHECKPOINT: "Log in at facebook.com, and do what is asked there. ",
        UNCONFIRMED: "Confirm the account at facebook.com. ",
    }.get(reason, "")
    return one(f"{OF_TOKENS}{reason}", fact, f"{before}{LOG_IN[login]}.")


def of_read(
    login: str, error: ProviderError, scopes: Sequence[str] | None, *, is_shown: bool = True
) -> Diagnosis | None:
    """Return why an account cannot be read, or None where the failure passes by itself.

    `is_shown` says that Meta itself named the account, so that its id is right.
    """
    needed = OF_INSTAGRAM[:1] if login == "instagram" else (BASIC, READ_PAGES)
    if isinstance(error, TokenInvalidError | TokenExpiredError):
        return of_refused_token(login, error)
    if "appsecret_proof" in (error.words or ""):
        return _refused_proof(login)
    if is_not_served(login, error):
        return _not_served(login)
    if isinstance(error, PermissionDeniedError):
        return _refused_account(login, error, scopes, needed)
    if isinstance(error, ObjectNotFoundError):
        return of_scopes(login, scopes, needed) or _missing_account(login, is_shown=is_shown)
    return None


def _refused_proof(login: str) -> Diagnosis:
    """Return why the proof of the app's secret is refused; its parameter is in the words, whatever their language."""
    causes = (*of_refused_app(login).causes, *of_other_app(login).causes)
    return Diagnosis(causes, "To separate them: the line `token` of `make doctor` shows which of the two it is.")


def _refused_account(
    login: str, error: ProviderError, scopes: Sequence[str] | None, needed: Sequence[str]
) -> Diagnosis:
    if error.message.startswith(INSTAGRAM_RULES[3, None].message.removesuffix(".")):
        step = f"Add the Instagram product to the app ({APP_DASHBOARD})."
        return one("app_capability_missing", "The app lacks the capability to read accounts.", step)
    return of_scopes(login, scopes, needed) or _refused_user(login, scopes, needed)


def _refused_user(login: str, scopes: Sequence[str] | None, needed: Sequence[str]) -> Diagnosis:
    if scopes is None:
        return _refused_app_user(login, needed, "The account is refused.")
    return _refused_app_user(login, (), "All permissions are granted, but the account is refused.")


def _refused_app_user(login: str, may_lack: Sequence[str], fact: str) -> Diagnosis:
    """Return why the app may not serve a user; `may_lack` are permissions that may be the cause as well."""
    causes = [
        Cause("app_role_missing", f"{fact} The user may lack a role on the app.", "Give the user a role on the app "
              f"({APP_DASHBOARD}, App roles; for the Instagram login: Instagram tester, and accept the invitation in "
              "the Instagram app), then run `make connect` again."),
        Cause("app_in_development", f"{fact} The app may be in development, or have standard access only.",
              f"Set the app to Live ({APP_DASHBOARD}), with advanced access for accounts of others, then run "
              "`make connect` again."),
    ]  # fmt: skip
    if may_lack:
        causes.insert(0, _missing_permissions(login, may_lack))
    check = (
        f"To separate them: {APP_DASHBOARD} shows the app's mode at the top, and its users under App roles."
        + (" The login dialog shows which permissions are granted." if may_lack else "")
    )  # fmt: skip
    return Diagnosis(tuple(causes), check)


def _missing_account(login: str, *, is_shown: bool) -> Diagnosis:
    causes = [
        Cause("account_private", "The account may be private.", "Make it public in the Instagram app (Settings, "
              "Account privacy), then run `make connect` again."),
        Cause("account_age_gated", "The account may have a minimum age.", "Remove the minimum age in the Instagram app "
              "(Settings, Business, Minimum age), then run `make connect` again."),
    ]  # fmt: skip
    if login == "instagram":
        step = "Make it a professional account in the Instagram app, then run `make connect` again."
        causes.insert(0, Cause("account_personal", "The account may be a personal one.", step))
    elif not is_shown:
        step = "Check the id: Meta Business Suite, Settings, Instagram accounts shows it."
        causes.insert(0, Cause("account_id_wrong", "No account by this id is shown to the user of the token.", step))
    return Diagnosis(
        tuple(causes),
        "To separate them: the Instagram app shows the account's type, its privacy and its minimum age under Settings.",
    )


def of_insights(login: str, error: ProviderError | None, scopes: Sequence[str] | None) -> Diagnosis | None:
    """Return why insights of an account that can be read are refused, or empty (`error` is None); None if it passes."""
    scope = OF_INSTAGRAM[1] if login == "instagram" else INSIGHTS
    missing = one(
        INSIGHTS_PERMISSION_MISSING,
        f"The permission {scope} is not granted.",
        f"{LOG_IN[login]}; grant {scope}.",
    )
    if error is None:
        if scopes is not None:
            return None if scope in scopes else missing
        step = "Wait a day, then run `make account ARGS=check`."
        causes = (*missing.causes, Cause("insights_not_ready", "A new account has no numbers yet.", step))
        return Diagnosis(causes, "To separate them: the Instagram app shows under Insights whether there are numbers.")
    if not isinstance(error, PermissionDeniedError):
        return None
    if scopes is None or scope not in scopes:
        return missing
    diagnosis = _refused_user(login, scopes, (scope,))
    if login == "facebook" and not set(ADS) & set(scopes):
        fact = "The role on the Page may come from a business portfolio; then ads_read is needed as well."
        step = f"{LOG_IN[login]}; grant ads_read."
        return Diagnosis((Cause(ADS_PERMISSION_MISSING, fact, step), *diagnosis.causes), diagnosis.check)
    return diagnosis


def of_code(login: str, error: ProviderError) -> Diagnosis | None:
    """Return why an authorization code is not exchanged, or None where the failure passes by itself.

    api.instagram.com gives no code that distinguishes its refusals, so its words decide. Where they do not, all causes
    are returned.
    """
    if not isinstance(error, ProviderRefusedError | TokenInvalidError):
        return None
    words = f" Meta says: {error.words.removesuffix('.')}." if error.words else ""
    if "developer role" in (error.words or "").lower():
        return one("app_role_missing", f"The code is refused.{words}", "Give the account a role on the app "
                    f"({APP_DASHBOARD}, App roles, Instagram tester), accept the invitation in the Instagram app, and "
                    "log in again.")  # fmt: skip
    causes = (
        Cause("code_not_valid", f"The code is refused: it may be used, or older than an hour.{words}",
              "Log in again for a new code."),
        Cause("redirect_uri_wrong", f"The code is refused: --redirect-uri may not be the one of the login.{words}",
              "Give the address to which the login dialog led, letter by letter."),
        Cause(APP_NOT_ACCEPTED, f"The code is refused: the app may be another one.{words}",
              f"Copy {APP_SETTINGS[login]} again."),
    )  # fmt: skip
    return Diagnosis(causes, "To separate them: log in again, and use the new code at once.")


def of_scopes(login: str, scopes: Sequence[str] | None, needed: Sequence[str]) -> Diagnosis | None:
    """Return what the granted permissions prove: those of the other login, or some that are missing."""
    if scopes is None or set(needed) <= set(scopes):
        return None
    others = OF_FACEBOOK[:2] if login == "instagram" else OF_INSTAGRAM
    if set(others) & set(scopes):
        return one(
            SCOPES_OF_OTHER_LOGIN,
            f"The token has {', '.join(sorted(set(others) & set(scopes)))}, which belong to the other login.",
            f"{LOG_IN[login]}; grant {', '.join(NEEDED_SCOPES[login])}.",
        )
    return Diagnosis((_missing_permissions(login, [each for each in needed if each not in scopes]),))


def _missing_permissions(login: str, missing: Sequence[str]) -> Cause:
    names = ", ".join(missing)
    verb = "are" if len(missing) > 1 else "is"
    return Cause(SCOPES_MISSING, f"{names} {verb} not granted.", f"{LOG_IN[login]}; grant {names}.")


def one(code: str, fact: str, next_step: str) -> Diagnosis:
    """Return the diagnosis of a cause that is proven."""
    return Diagnosis((Cause(code, fact, next_step),))
