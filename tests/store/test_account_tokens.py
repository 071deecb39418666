"""The table of tokens, on both databases: what is written of a token, and what another process has noted since."""

from __future__ import annotations

import pytest

from services.store.account_tokens import TokenRow
from tests.support import ACCOUNT_ID

ROW = TokenRow(ACCOUNT_ID, "f1", "f1", seen_at=1.0, written_at=10.0, state="ok", expires_at=5e9)
REFUSED = ROW._replace(state="invalid", reason="revoked", failure="{}", failed_with="s1", written_at=20.0)


@pytest.fixture
def table(store):
    table = store.account_tokens
    table.put(ROW)
    return table


def test_a_refusal_is_new_once_and_a_later_write_leaves_it(table):
    assert [table.note_failure(REFUSED), table.note_failure(REFUSED)] == [True, False]

    table.put(ROW._replace(scopes="a,b", written_at=30.0))

    found = table.find(ACCOUNT_ID, "f1")
    assert (found.failure, found.scopes, found.expires_at) == ("{}", "a,b", 5e9)
    assert (found.state, found.reason, found.written_at) == ("invalid", "revoked", 30.0)
    table.put(found._replace(state="expired", reason="expired"))  # It was read with the refusal.
    assert table.find(ACCOUNT_ID, "f1").state == "expired"
    assert table.accepted(found)
    table.put(ROW._replace(state="ok"))
    assert table.find(ACCOUNT_ID, "f1")[:-3] == ROW[:-3]


def test_a_token_that_was_refused_otherwise_meanwhile_is_not_noted_as_accepted(table):
    table.note_failure(REFUSED)
    read = table.find(ACCOUNT_ID, "f1")
    table.note_failure(REFUSED._replace(failure='{"a": 1}', reason="app_removed"))

    assert not table.accepted(read)

    assert table.find(ACCOUNT_ID, "f1").reason == "app_removed"


def test_a_refusal_under_other_settings_is_new(table):
    table.note_failure(REFUSED)

    assert table.note_failure(REFUSED._replace(failed_with="s2"))


def test_each_warning_is_given_once_and_again_after_the_end_was_moved(table):
    def warn(days):
        with table.write() as connection:
            return table.note_warning(connection, ROW, days)

    assert [warn(14), warn(14), warn(7), warn(14), warn(1)] == [True, False, True, False, True]
    table.forget_warnings(ACCOUNT_ID, "f1")
    assert warn(14)


def test_a_new_token_takes_the_place_of_all_others_of_its_account_only(table):
    other = ROW._replace(account="17841400000000002")
    table.put(other)
    table.put(ROW._replace(account=""))
    new = ROW._replace(fingerprint="f2", sealed=b"sealed", expires_at=0.0)

    table.replace(new)

    assert sorted((row.account, row.fingerprint) for row in table.all()) == [(ACCOUNT_ID, "f2"), (other.account, "f1")]
    assert table.find(ACCOUNT_ID, "f2") == new
    table.keep_only(other.account, "f3")
    assert [row.account for row in table.all()] == [ACCOUNT_ID]


def test_what_was_written_since_a_moment_is_read(table):
    table.put(ROW._replace(fingerprint="f2", written_at=20.0))

    assert [[row.fingerprint for row in table.written_since(moment)] for moment in (15.0, 20.0)] == [["f2"], ["f2"]]
    assert len(table.written_since(None)) == 2


def test_what_descends_from_the_token_of_the_settings_stays_where_an_account_is_removed(table):
    table.put(ROW._replace(fingerprint="f2", given_fingerprint="of the settings"))

    table.forget(ACCOUNT_ID, but="of the settings")

    assert [row.fingerprint for row in table.all()] == ["f2"]
