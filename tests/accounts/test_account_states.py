"""What each failure of a check says of its account."""

from __future__ import annotations

import pytest

from services.accounts.account_states import state_of
from services.accounts.diagnosis import APP_NOT_ACCEPTED
from services.errors import BusyError, ProviderError
from services.media.errors import StoryExpiredError
from services.media.known_refusals import AlbumChildError
from services.reports.errors import LedgerUnavailableError

STATES = {
    "needs_login": {"token_expired", "token_invalid"},
    "permissions_missing": {"permission_denied"},
    "not_readable": {
        "object_not_found",
        "provider_blocked",
        "provider_not_configured",
        "provider_refused",
    },
    # It passes, or is about the app.
    None: {
        "app_not_accepted",
        "busy",
        "deadline_exceeded",
        "provider_rate_limited",
        "provider_response_invalid",
        "provider_timeout",
        "provider_unavailable",
    },
}
NO_CHECK_HAS = {
    # of a media
    *("album_child", "insufficient_viewers", "media_too_old", "story_expired"),
    # of Modash and its reports
    *("bad_request", "credit_budget_reached", "credit_limit_reached", "insufficient_credits", "ledger_unavailable"),
    *("creator_not_found", "modash_key_invalid", "report_not_ready", "report_uncertain"),
}


def subclasses(class_):
    for each in class_.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.mark.parametrize(
    ("state", "code"), [(state, code) for state, codes in STATES.items() for code in sorted(codes)]
)
def test_a_failure_of_a_check_has_one_state(state, code):
    assert state_of(code) == state


def test_every_failure_of_a_provider_has_its_state_or_is_none_of_a_check():
    known = {each.code for each in subclasses(ProviderError)}
    assert {AlbumChildError.code, StoryExpiredError.code, LedgerUnavailableError.code} < known

    classified = set().union(NO_CHECK_HAS, *STATES.values())

    assert classified - {APP_NOT_ACCEPTED, BusyError.code} == known
