"""Why a user of the login with Facebook has no account: what the pages, and what was granted for which, prove."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.accounts.diagnosis import BY_ID, LOG_IN, PAGE_ROLE_MISSING, Cause, Diagnosis, of_scopes, one
from services.accounts.needed_permissions import BASIC, BUSINESS, LIST_PAGES
from services.clients.graph.tokens import Page, TokenDetails


def of_pages(
    details: TokenDetails | None, pages: Sequence[Page], tried: Collection[str], *, page_id: str = ""
) -> Diagnosis:
    """Return why a user of the login with Facebook has no account.

    `tried` are the accounts that could not be read by their id: with the page in a portfolio that would have worked.
    `page_id` is the page whose account was wanted, if one was named.
    """
    scopes = details.scopes if details is not None else None
    if (scoped := of_scopes("facebook", scopes, (BASIC, LIST_PAGES))) is not None:
        return scoped
    if page_id and (linked := [page for page in pages if page.account_id and page.id != page_id]):
        return _linked_elsewhere(page_id, linked)
    granular = details.granular_scopes if details is not None else {}
    has_business = scopes is not None and BUSINESS in scopes
    ticked, listed = granular.get(LIST_PAGES, ()), {page.id for page in pages}
    hidden = [each for each in ticked if each not in listed]
    if hidden:
        return _hidden_page(hidden, has_business=has_business)
    chosen = details.granted_accounts() if details is not None else []
    if ticked and chosen:
        return one(
            "page_not_ticked",
            f"In the login dialog the account {', '.join(chosen)} was ticked, but not the Page that it is linked to.",
            f"{LOG_IN['facebook']}; in the dialog tick the account's Page as well.",
        )
    causes = [_not_ticked()] if ticked else []
    if not has_business and not tried:
        causes.append(_portfolio("Without business_management, Meta hides Pages of a business portfolio."))
    causes += _of_listed(pages) if pages else [] if ticked else [_no_page()]
    return Diagnosis(tuple(causes), _check_of(causes, is_by_id=not has_business and not tried))


def _hidden_page(hidden: Sequence[str], *, has_business: bool) -> Diagnosis:
    named = f"The Page {', '.join(hidden)} was ticked in the login dialog, but Meta does not list it"
    if has_business:
        step = f"Give the user a role on that Page. {LOG_IN['facebook']}."
        return one(PAGE_ROLE_MISSING, f"{named}, although business_management is granted.", step)
    return Diagnosis((_portfolio(f"{named}: it is in a business portfolio."),))


def _portfolio(fact: str) -> Cause:
    step = f"{LOG_IN['facebook']}; grant business_management as well. Or name the account: {BY_ID}."
    return Cause("page_in_portfolio", fact, step)


def _no_page() -> Cause:
    return Cause(
        "no_page",
        "The user has no Page, or no role on one.",
        "Create a Page and link the account to it (docs/set-up.md, steps 1 to 3), or get a role on its Page. "
        f"{LOG_IN['facebook']}.",
    )


def _not_ticked() -> Cause:
    return Cause(
        "page_not_ticked",
        "In the login dialog only some Pages were ticked; none of them shows an account.",
        f"{LOG_IN['facebook']}; in the dialog tick the account's Page and the account.",
    )


def _of_listed(pages: Sequence[Page]) -> list[Cause]:
    names = ", ".join(f"{page.name or 'without a name'} ({page.id})" for page in pages[:5])
    fact = f"No account is linked to the Page {names}" if len(pages) == 1 else f"No account is linked to {names}"
    return [
        Cause("page_not_linked", f"{fact}.", "Link the account to the Page in the Instagram app (docs/set-up.md, "
              "step 3), then run `make connect` again."),
        Cause("account_personal", "A personal account cannot be linked.", "Make it a professional account in the "
              "Instagram app (docs/set-up.md, step 2), link it, then run `make connect` again."),
        Cause("account_linked_elsewhere", "The account may be linked to a Page that this user does not manage.",
              "Log in as a user of that Page, or link the account to this one in the Instagram app."),
    ]  # fmt: skip


def _linked_elsewhere(page_id: str, linked: Sequence[Page]) -> Diagnosis:
    named = ", ".join(f"{page.username or page.account_id} to {page.name or page.id} ({page.id})" for page in linked)
    return one(
        "account_linked_elsewhere",
        f"The Page {page_id} has no account; linked are {named}.",
        f"Leave --page-id out or name the other Page (PAGE_ID={linked[0].id} for the token of .env).",
    )


def _check_of(causes: Sequence[Cause], *, is_by_id: bool) -> str | None:
    if len(causes) < 2:  # noqa: PLR2004
        return None
    if is_by_id:
        return (
            f"To separate them: {BY_ID} with the id of the account (Meta Business Suite, Settings, Instagram accounts "
            "shows it). If it can be read, the Page is in a business portfolio."
        )
    return (
        "To separate them: the Instagram app shows under Settings, Account type whether the account is a professional "
        "one, and under Settings, Sharing to other apps, Facebook to which Page it is linked."
    )
