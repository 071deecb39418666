"""`make key`: what it prints, what it refuses, and that gateways go by it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from commands import key as command
from services.access import start
from services.store.database import DatabaseUnavailableError
from tests.stores import query
from tests.support import ACCOUNT_ID, bearer, settings


@pytest.fixture
def config(store_settings):
    store = {name.lower(): value for name, value in store_settings.items()}
    return settings(allow_anonymous=False, **store)


@pytest.fixture
def make_key(run_command, config):
    def make(*arguments):
        return run_command(command, config, *arguments)

    return make


@pytest.fixture
def created(make_key):
    def create(*arguments):
        ended, out, _ = make_key("create", "shop", *arguments, "--json")
        assert ended == 0
        return json.loads(out)

    return create


def test_a_key_is_printed_once_and_stored_as_a_digest(make_key, config, store_settings, make_client):
    ended, out, said = make_key("create", "shop of A", "--accounts", ACCOUNT_ID, "--credits", "2.5")

    text = out.strip()
    assert (ended, re.fullmatch(r"igw_[a-z2-9]{10}_[A-Za-z0-9_-]{43}", text) is not None) == (0, True)
    assert f"{ACCOUNT_ID}; it never expires" in said
    rows = str(query(store_settings, "gateway", "SELECT * FROM api_keys"))
    assert text not in rows
    assert text[-20:] not in rows
    _, listed, _ = make_key("list")
    assert text[4:14] in listed
    assert "1 of 1 key is valid in live mode." in listed
    assert text[-20:] not in listed
    assert make_client(config).get("/quota", headers=bearer(text)).status_code == 200


def test_all_that_a_key_may_do_is_in_the_list(created, make_key):
    made = created(
        "--scope", "admin", "--accounts", f"{ACCOUNT_ID},178", "--requests-per-minute", "90", "--expires", "2d"
    )

    (listed,) = json.loads(make_key("list", "--json")[1])
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert (listed["scope"], listed["accounts"]) == ("admin", ["178", ACCOUNT_ID])
    assert (listed["requests_per_minute"], listed["credits_per_month"]) == (90, None)
    assert listed["valid"]
    assert listed["expires_at"] > listed["created_at"]


def test_a_key_is_changed_and_its_text_stays(created, make_key, make_client, config):
    made = created("--accounts", ACCOUNT_ID, "--credits", "2.5", "--requests-per-minute", "9")
    client = make_client(config)
    assert client.get("/metrics", headers=bearer(made["key"])).status_code == 403

    ended, out, _ = make_key(
        *("change", made["id"], "--scope", "admin", "--accounts", f"178,{ACCOUNT_ID}", "--credits", "default"),
        *("--requests-per-minute", "90", "--label", "shop B", "--expires", "9d", "--json"),
    )

    changed = json.loads(out)
    kept = {name: changed[name] for name in ("id", "mode", "created_at", "revoked_at", "rotated_at", "valid")}
    assert (ended, kept) == (0, {name: made[name] for name in kept})
    assert (changed["label"], changed["scope"], changed["accounts"]) == ("shop B", "admin", ["178", ACCOUNT_ID])
    assert (changed["credits_per_month"], changed["requests_per_minute"]) == (None, 90)
    assert changed["expires_at"] > changed["created_at"]
    client.application.extensions["services"].access_keys.check()
    assert client.get("/metrics", headers=bearer(made["key"])).status_code == 200

    assert created("--accounts", "all")["accounts"] is None
    every = json.loads(make_key("change", made["id"], "--accounts", "all", "--expires", "never", "--json")[1])
    assert (every["accounts"], every["expires_at"], every["scope"]) == (None, None, "admin")


def test_a_change_of_nothing_or_of_a_revoked_key_is_refused(created, make_key):
    made = created()

    assert "Nothing to change" in make_key("change", made["id"])[2]
    make_key("revoke", made["id"])
    ended, _, said = make_key("change", made["id"], "--credits", "5")
    assert (ended, "was revoked" in said) == (1, True)


def test_a_second_key_of_the_same_label_is_said_to_be_one(created, make_key):
    first = created()

    assert f"{first['id']} with the same label stays valid" in make_key("create", "shop")[2]


def test_a_rotated_key_keeps_its_id_and_a_revoked_one_ends(created, make_key, make_client, config):
    first = created()
    client = make_client(config)

    ended, out, _ = make_key("rotate", first["id"], "--json")
    second = json.loads(out)
    assert (ended, second["id"], second["former_key_until"] > second["rotated_at"]) == (0, first["id"], True)
    statuses = [client.get("/quota", headers=bearer(each["key"])).status_code for each in (first, second)]
    assert statuses == [200, 200]

    ended, out, said = make_key("revoke", first["id"])
    assert (ended, "Revoked" in out, "last valid key" in said) == (0, True, True)
    client = make_client(config)
    statuses = [client.get("/quota", headers=bearer(each["key"])).status_code for each in (first, second)]
    assert statuses == [401, 401]
    assert "revoked before" in make_key("revoke", first["id"])[1]
    ended, _, said = make_key("rotate", first["id"])
    assert (ended, "was revoked" in said) == (1, True)


def test_a_rotation_without_overlap_ends_the_old_text_at_once(created, make_key, make_client, config):
    first = created()
    second = json.loads(make_key("rotate", first["id"], "--overlap", "0", "--json")[1])

    client = make_client(config)
    assert client.get("/quota", headers=bearer(first["key"])).status_code == 401
    assert client.get("/quota", headers=bearer(second["key"])).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["revoke", "nothere"], 2, "`make key ARGS=list`"),
        (["create", "x", "--expires", "2020-01-31"], 2, "a day to come"),
        (["create", "x", "--expires", "9999-12-31"], 2, "within 3650 days"),
        (["create", "x", "--accounts", "no.such.account"], 1, "no.such.account"),  # It cannot be looked up.
    ],
)
def test_a_refusal_says_what_to_do(make_key, arguments, status, named):
    ended, out, said = make_key(*arguments)

    assert (ended, out, named in said) == (status, "", True)
    assert json.loads(make_key("list", "--json")[1]) == []


@pytest.mark.parametrize(
    ("arguments", "accepted"),
    [
        (["create", "x", "--expires", "soon"], "such as 24h or 90d"),
        (["create", "x", "--expires", "2027-02-30"], "no such day"),
        (["create", "x", "--scope", "write"], "read"),
        (["create", "x", "--requests-per-minute", "0"], "1 to 1000000"),
        (["create", "x", "--credits", "-1"], "accepted"),
        (["create", "x", "--accounts", ","], "ids or usernames"),
        (["create", "x", "--accounts", "all,178"], "`all` stands alone"),
        (["change", "x", "--accounts", "178,ALL"], "`all` stands alone"),
        (["create", " "], "1 to 100 characters"),
        *((["create", f"a{character}b"], "1 to 100 characters") for character in "\u2028\u202e\u2066\udc80"),
        (["create", "x", "--expires", "0d"], "from 1m on"),
        (["create", "x", "--expires", "0"], "from 1m on"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_accepted(capsys, arguments, accepted):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)

    assert (ended.value.code, accepted in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ("more", "with_key", "why"),
    [
        ({}, False, "make key"),
        ({}, True, None),
        ({"allow_anonymous": True}, False, None),
        ({"allow_anonymous": True, "host": "::1"}, False, None),
        ({"allow_anonymous": True, "host": "localhost"}, False, None),
        ({"allow_anonymous": True, "host": "gateway.internal"}, False, "HOST=127.0.0.1"),
        ({"allow_anonymous": True, "host": "0.0.0.0"}, False, "HOST=127.0.0.1"),
        ({"allow_anonymous": True, "host": "0.0.0.0"}, True, None),
        ({"host": "0.0.0.0"}, True, None),
    ],
)
def test_a_live_gateway_starts_with_a_key_or_for_this_machine_only(run_command, more, with_key, why):
    config = settings(**({"allow_anonymous": False} | more))
    if with_key:
        run_command(command, config, "create", "x")

    ended, _, said = run_command(command, config, "check")

    assert ended == (0 if why is None else 1)
    assert why is None or why in said


@pytest.mark.parametrize(("allow_anonymous", "why"), [(False, None), (True, "HOST=127.0.0.1")])
def test_without_the_database_only_a_gateway_that_answers_keys_alone_may_be_reached_from_elsewhere(
    allow_anonymous, why
):
    def has_valid(_now):
        raise DatabaseUnavailableError("down")

    config = settings(allow_anonymous=allow_anonymous, host="0.0.0.0")

    found = start.why_not(SimpleNamespace(has_valid=has_valid), config, 0.0)

    assert found is None if why is None else why in found
    assert not allow_anonymous or found.startswith("The database is unavailable (down), so it is not known whether")


def test_an_expired_key_does_not_let_a_gateway_start(run_command, config, store):
    run_command(command, config, "create", "x", "--expires", "1m")

    soon = store.api_keys.rows()[0].created_at + 59
    assert start.why_not(store.api_keys, config, soon) is None
    assert "make key" in start.why_not(store.api_keys, config, soon + 2)


def test_a_key_that_ends_on_a_day_is_valid_through_it(created):
    day = datetime.now(UTC).date() + timedelta(days=30)

    assert created("--expires", day.isoformat())["expires_at"] == f"{day + timedelta(days=1)}T00:00:00Z"


def test_a_large_limit_of_credits_is_listed_with_all_its_digits(created, make_key):
    for number in ("123456.25", "1000000"):
        created("--credits", number)

    assert re.findall(r"([\d.e+]+) credits a month", make_key("list")[1]) == ["123456.25", "1000000"]


def test_an_expired_key_is_rotated_with_another_end_only(created, make_key, store_settings):
    key = created("--expires", "90d")["id"]
    query(store_settings, "gateway", "UPDATE api_keys SET expires_at = 1.7e9 WHERE id = :id", id=key)

    refused = make_key("rotate", key)
    rotated = make_key("rotate", key, "--expires", "90d")

    assert (refused[0], "has expired" in refused[2], rotated[0]) == (2, True, 0)


def test_the_text_of_an_expired_key_stays_expired_when_the_key_is_rotated(
    created, make_key, make_client, config, store_settings
):
    first = created("--expires", "90d")
    query(store_settings, "gateway", "UPDATE api_keys SET expires_at = 1.7e9 WHERE id = :id", id=first["id"])

    second = json.loads(make_key("rotate", first["id"], "--expires", "90d", "--json")[1])

    client = make_client(config)
    assert second["former_key_until"] == "2023-11-14T22:13:20Z"
    statuses = [client.get("/quota", headers=bearer(each["key"])).status_code for each in (first, second)]
    assert statuses == [401, 200]
    assert "The key until now is valid until" in make_key("rotate", first["id"])[2]


def test_the_texts_of_an_expired_key_stay_expired_when_it_is_changed(
    created, make_key, make_client, config, store_settings
):
    first = created()
    second = json.loads(make_key("rotate", first["id"], "--overlap", "48h", "--json")[1])
    query(store_settings, "gateway", "UPDATE api_keys SET expires_at = 1.7e9 WHERE id = :id", id=first["id"])

    refused = [make_key("change", first["id"], "--expires", end, "--label", "shop B") for end in ("90d", "never")]
    changed = make_key("change", first["id"], "--label", "shop C")

    client = make_client(config)
    (listed,) = json.loads(make_key("list", "--json")[1])
    assert [ended for ended, _, _ in refused] == [1, 1]
    assert f"rotate {first['id']} --expires never" in refused[1][2]
    assert (changed[0], listed["label"], listed["valid"]) == (0, "shop C", False)
    assert [client.get("/quota", headers=bearer(each["key"])).status_code for each in (first, second)] == [401, 401]


def test_a_rotation_of_an_expired_key_says_that_the_old_text_has_ended(created, make_key, store_settings):
    key = created("--expires", "90d")["id"]
    query(store_settings, "gateway", "UPDATE api_keys SET expires_at = 1.7e9 WHERE id = :id", id=key)

    assert "The key until now has ended." in make_key("rotate", key, "--expires", "90d")[2]


@pytest.mark.parametrize(
    ("expires", "another"), [("1h", ()), ("1h", ("--expires", "90d")), ("90d", ("--expires", "1h"))]
)
def test_a_rotation_says_when_the_old_text_really_ends(created, make_key, expires, another):
    key = created("--expires", expires)["id"]
    said = make_key("rotate", key, "--overlap", "48h", *another)[2]

    (row,) = json.loads(make_key("list", "--json")[1])
    until = datetime.fromisoformat(row["former_key_until"])
    assert timedelta(0) < until - datetime.now(UTC) <= timedelta(hours=1)
    assert f"The key until now is valid until {row['former_key_until']}." in said


def test_a_key_that_is_given_an_earlier_end_shows_it_for_its_old_text_too(created, make_key):
    key = created()["id"]
    make_key("rotate", key, "--overlap", "48h")

    changed = json.loads(make_key("change", key, "--expires", "1h", "--json")[1])

    assert changed["former_key_until"] == changed["expires_at"]


def test_only_the_key_is_on_standard_output(make_key):
    made = make_key("create", "shop")[1]
    first, second = (make_key("rotate", made[4:14]) for _ in range(2))

    assert [len(out.split()) for out in (made, first[1], second[1])] == [1, 1, 1]
    assert "has ended" in second[2]


@pytest.fixture
def unshown(make_key, monkeypatch):
    """Run the command while no text can be shown; it has to say so."""

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    def run(*arguments):
        with monkeypatch.context() as patched:
            patched.setattr(command.KeyCommands, "_show_once", fail)
            ended, out, said = make_key(*arguments)
        assert (ended, out, "No space left" in said) == (1, "", True)

    return run


def test_a_key_that_cannot_be_shown_is_not_valid(make_key, unshown):
    unshown("create", "shop")

    assert [each["valid"] for each in json.loads(make_key("list", "--json")[1])] == [False]


def test_a_rotation_whose_text_cannot_be_shown_changes_nothing(created, make_key, make_client, config, unshown):
    first = created("--expires", "90d")
    second = json.loads(make_key("rotate", first["id"], "--json")[1])
    before = make_key("list", "--json")

    for _ in range(2):
        unshown("rotate", first["id"], "--overlap", "0", "--expires", "never")

    assert make_key("list", "--json") == before
    client = make_client(config)
    statuses = [client.get("/quota", headers=bearer(each["key"])).status_code for each in (first, second)]
    assert statuses == [200, 200]


def test_the_list_shows_when_a_key_was_used_last(created, make_key, store_settings):
    key = created()["id"]
    assert "  not used  " in make_key("list")[1]
    query(store_settings, "gateway", "UPDATE api_keys SET last_used_at = 1.8e9 WHERE id = :id", id=key)

    assert "  used 2027-01-15T08:00:00Z  " in make_key("list")[1]
    assert json.loads(make_key("list", "--json")[1])[0]["last_used_at"] == "2027-01-15T08:00:00Z"


def test_the_list_survives_a_moment_that_no_calendar_has(created, make_key, store_settings):
    key = created()["id"]
    query(store_settings, "gateway", "UPDATE api_keys SET expires_at = 9e11 WHERE id = :id", id=key)

    assert [make_key("list", *more)[0] for more in ([], ["--json"])] == [0, 0]
