"""The state of a token: when it ends, what that is the end of, and how certain it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from services.accounts.current_tokens import fingerprint
from services.accounts.token_states import INSTAGRAM, end_of
from services.clients.graph.models import Account
from services.errors import TokenInvalidError
from services.store.account_tokens import NEVER_ENDS, TokenRow
from tests.support import ACCOUNT_ID, TOKEN

DAY = 86_400.0
SEEN_AT = 1_750_000_000.0
MARKS = (fingerprint(TOKEN), fingerprint("another token"))


def row(**known):
    return TokenRow(ACCOUNT_ID, "of a token", "of a token", SEEN_AT, SEEN_AT, **known)


@pytest.fixture
def states(client):
    return client.application.extensions["services"].token_states


@pytest.mark.parametrize(
    ("known", "end"),
    [
        ({"expires_at": 20.0, "data_access_expires_at": 10.0}, (10.0, True)),
        ({"expires_at": 10.0, "data_access_expires_at": 20.0}, (10.0, True)),
        ({"expires_at": NEVER_ENDS, "data_access_expires_at": 20.0}, (20.0, True)),
        ({"expires_at": NEVER_ENDS}, (None, True)),
        ({"expires_at": NEVER_ENDS, "kind": INSTAGRAM}, (None, True)),
        ({"kind": INSTAGRAM}, (SEEN_AT + 60 * DAY, False)),
        ({"kind": "PAGE"}, (None, True)),
    ],
)
def test_a_token_ends_at_the_first_of_its_ends(known, end):
    assert end_of(row(**known)) == end


@pytest.mark.parametrize(
    ("expires", "data_access", "reason"),
    [(5, 10, "expires_soon"), (10, 5, "data_access_expires_soon"), (-5, 10, "expired"), (5, -1, "data_access_expired")],
)
def test_the_end_that_comes_first_is_named(states, clock, expires, data_access, reason):
    now = clock.timestamp()

    found = states.judged(row(expires_at=now + expires * DAY, data_access_expires_at=now + data_access * DAY))

    assert (found.state, found.reason) == ("expired" if reason.endswith("expired") else "expiring", reason)


def test_an_end_that_is_only_presumed_makes_no_token_an_expired_one(states, clock):
    found = states.judged(row(kind=INSTAGRAM)._replace(seen_at=clock.timestamp() - 61 * DAY))

    assert (found.state, found.reason, found.is_end_certain) == ("expiring", "expires_soon", False)
    assert found.message.endswith("at the latest.")


def test_a_refusal_from_before_the_account_was_known_is_that_of_its_token(states):
    refused = TokenInvalidError("It is not accepted.", provider="instagram", reason="not_accepted")
    states._tokens.failed(Account("", TOKEN), refused)

    found = [states.of([SimpleNamespace(id=ACCOUNT_ID, fingerprint=each, login="facebook")]) for each in MARKS]

    assert [each[ACCOUNT_ID].state for each in found] == ["invalid", "unknown"]
