"""Many accounts at once: added from a file or from the pages of a user, checked side by side, again after a stop."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter

import pytest

from commands import account as command
from commands import bulk_accounts
from commands.account_file import FileError, accounts_of
from config import Config
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.store import Store
from services.store.webhooks import Change, Delivery, DeliveryContent
from tests.stores import query
from tests.support import live_settings

KEY = new_key()
COLUMNS = "token,login,page_id,id,username"
MANY = 40
PART = 3  # the exit status
CUT = "EAAcutTOKENofANaccount"


@pytest.fixture
def listed(simulator):
    return simulator.get("/_simulator/accounts").json()


@pytest.fixture
def accounts(listed):
    """Accounts of both logins in turn, as lines of a file."""
    return [
        {"token": each["instagram_token"], "login": "instagram", "page_id": "", "id": "", "username": ""}
        if number % 2
        else {"token": each["token"], "login": "", "page_id": each["page_id"], "id": "", "username": ""}
        for number, each in enumerate(listed["accounts"][:MANY])
    ]


@pytest.fixture
def make_account(simulator, listed, store_settings, monkeypatch, capsys):
    """Run `make account` against the simulator; return what it ended with, wrote and said."""
    live = live_settings(simulator.url, {"token": "", "id": ""}, listed["app"], "")
    config = Config.from_env(live | {"TOKEN_KEY": KEY, "RETRY_BUDGET": "10"} | store_settings)

    def run(*arguments, given=""):
        with monkeypatch.context() as patched:
            patched.setattr(Config, "from_env", lambda: config)
            patched.setattr("sys.stdin", io.StringIO(given))
            ended = command.main(arguments)
        said = capsys.readouterr()
        return ended, said.out, said.err

    run.store = store_settings
    run.config = config
    return run


def as_csv(accounts):
    return "\n".join([COLUMNS, *(",".join(account[name] for name in COLUMNS.split(",")) for account in accounts), ""])


def as_lines(accounts):
    return "".join(f"{json.dumps({name: value for name, value in each.items() if value})}\n" for each in accounts)


def ids(make_account):
    return [account for (account,) in query(make_account.store, "gateway", "SELECT id FROM accounts ORDER BY id")]


def calls(simulator):
    made = simulator.get("/_simulator/calls").json()["instagram"]["calls"]
    simulator.post("/_simulator/calls/reset")
    return [call["path"] for call in made]


def test_hundreds_of_accounts_are_added_once_and_checked_side_by_side(
    simulator, accounts, listed, make_account, tmp_path
):
    file = tmp_path / "accounts.csv"
    file.write_text(as_csv(accounts), encoding="utf-8")
    file.chmod(0o644)
    simulator.post("/_simulator/calls/reset")

    ended, said, warned = make_account("add", "--file", str(file))

    assert (ended, said.splitlines()[-1]) == (0, f"{MANY} added.")
    assert f"chmod 600 {file}" in warned
    assert ids(make_account) == sorted(each["id"] for each in listed["accounts"][:MANY])
    assert len(calls(simulator)) == 2 * MANY
    file.chmod(0o600)
    ended, said, warned = make_account("add", "--file", str(file), "--json")
    report = json.loads(said)
    assert (ended, report["skipped"], report["added"]) == (0, MANY, 0)
    assert report["accounts"][0]["id"] == listed["accounts"][0]["id"]
    assert "chmod" not in warned
    assert calls(simulator) == []

    ended, said, _ = make_account("check", "--failed-only", "--json")

    report = json.loads(said)
    failing = {each["id"] for each in report["accounts"]}
    assert report["ok"] + report["failing"] == MANY
    assert ended == (1 if failing else 0)
    checked = query(make_account.store, "gateway", "SELECT account, failed_as FROM account_health")
    assert {account for account, failed_as in checked if failed_as is not None} == failing
    assert len(checked) == MANY


def test_a_failed_account_has_a_line_and_the_same_command_goes_on(simulator, accounts, make_account):
    few = accounts[:6]
    wrong = [{**few[0], "token": CUT, "page_id": "99"}, {**few[1], "token": "IGAAcutTOKENofANaccount"}, *few[2:]]

    ended, said, _ = make_account("add", "--file", "-", given=as_lines(wrong))

    assert ended == PART
    lines = said.splitlines()
    assert Counter(line[:4] for line in lines if line[:4] == "FAIL") == {"FAIL": 2}
    assert any(line.startswith("FAIL line 1, page 99: ") for line in lines)
    assert any(line.startswith("FAIL line 2: ") for line in lines)
    assert any(line.startswith("       next: ") for line in lines)
    assert lines[-1] == "4 added, 2 failed. The same command goes on here."
    assert CUT not in said

    simulator.post("/_simulator/calls/reset")
    ended, said, _ = make_account("add", "--file", "-", given=as_lines(few))
    assert (ended, said.splitlines()[-1]) == (0, "2 added, 4 skipped (added before with the same token).")
    assert len(calls(simulator)) == 4
    assert make_account("add", "--file", "-", given=as_lines(wrong[:2]))[0] == 1


def test_a_new_token_replaces_the_old_one(accounts, listed, make_account):
    first = accounts[0]
    make_account("add", "--file", "-", given=as_csv([first]))

    page = {**first, "token": listed["accounts"][0]["page_token"]}
    ended, said, _ = make_account("add", "--file", "-", given=as_csv([page]))

    assert (ended, said.splitlines()[-1]) == (0, "1 replaced.")


def test_what_was_delivered_of_a_story_before_its_account_was_added_waits_from_then_on(accounts, listed, make_account):
    first, second = listed["accounts"][:2]
    make_account("list")
    store = Store.open(make_account.config.database_url, make_account.config.instance_path, mode="live")
    try:
        changes = [
            Change(account["id"], field, {"media_id": "1"}, 1.0)
            for account, field in ((first, "story_insights"), (first, "comments"), (second, "story_insights"))
        ]
        store.webhooks.enter([DeliveryContent(Delivery("d", b"", 1.0), changes, None)], applicable=[], now=1.0)
    finally:
        store.close()

    make_account("add", "--file", "-", given=as_csv(accounts[:1]))

    states = query(make_account.store, "gateway", "SELECT account, field, state FROM webhook_changes")
    assert sorted(states) == sorted(
        [
            (first["id"], "story_insights", "pending"),
            (first["id"], "comments", "kept"),
            (second["id"], "story_insights", "kept"),
        ]
    )


def test_a_throttle_of_the_whole_app_ends_it_and_the_rest_is_not_tried(simulator, accounts, listed, make_account):
    fault = {"provider": "instagram", "kind": "throttled", "code": 4, "minutes": 5}
    simulator.post("/_simulator/faults", fault | {"path": listed["accounts"][MANY - 2]["id"]})

    ended, said, _ = make_account("add", "--file", "-", "--json", given=as_csv(accounts))

    report = json.loads(said)
    assert ended == PART
    assert report["added"] >= 1
    assert report["not_tried"] >= 1
    assert report["added"] + report["failed"] + report["not_tried"] == MANY
    assert len(ids(make_account)) == report["added"]
    not_tried = next(each for each in report["accounts"] if each["outcome"] == "not_tried")
    assert not_tried["code"] == "provider_rate_limited"


def test_a_throttle_of_the_whole_app_that_another_process_met_ends_it_too(simulator, accounts, make_account):
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "throttled", "code": 4, "minutes": 5})
    make_account("add", "--file", "-", given=as_csv(accounts[:1]))
    calls(simulator)

    ended, said, _ = make_account("add", "--file", "-", "--json", given=as_csv(accounts))

    report = json.loads(said)
    assert (ended, calls(simulator)) == (1, [])
    assert (report["failed"], report["not_tried"]) == (0, MANY)


def test_what_was_added_before_a_stop_is_kept(accounts, make_account, monkeypatch):
    shown = bulk_accounts.Progress.show

    def interrupt(self, label, done, total, unit):
        shown(self, label, done, total, unit)
        if done == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(bulk_accounts.Progress, "show", interrupt)
    ended, said, _ = make_account("add", "--file", "-", given=as_csv(accounts[:20]))
    monkeypatch.undo()

    assert ended == 130
    assert said.splitlines()[-1].startswith("Stopped: ")
    kept = len(ids(make_account))
    assert kept >= 5
    ended, said, _ = make_account("add", "--file", "-", given=as_csv(accounts[:20]))
    assert ended == 0
    assert len(ids(make_account)) == 20


def test_a_terminal_gets_a_bar(accounts, make_account, monkeypatch):
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)

    ended, said, _ = make_account("add", "--file", "-", given=as_csv(accounts[:4]))

    assert ended == 0
    assert f"\raccounts  [{'#' * 30}] 4 of 4 added or skipped \n" in said


def test_every_page_of_a_user_is_added_with_its_own_token(listed, make_account, simulator):
    logins = simulator.get("/_simulator/logins").json()["logins"]
    several = next(each for each in logins if each["state"] == "several")

    ended, said, warned = make_account("add", "--all-pages", given=f"{several['facebook_token']}\n")

    assert (ended, said.splitlines()[-1:]) == (0, ["3 added."]), (said, warned)
    store = Store.open(make_account.config.database_url, make_account.config.instance_path, mode="live")
    rows = store.accounts.rows()
    store.close()
    encryption = TokenEncryption([KEY], learn=lambda _: None)
    tokens = {encryption.open(row.token) for row in rows}
    assert (len({row.page_id for row in rows}), len(tokens - {several["facebook_token"]})) == (3, 3)
    ended, said, _ = make_account("add", "--all-pages", given=f"{several['facebook_token']}\n")
    assert (ended, said.splitlines()[-1]) == (0, "3 skipped (added before with the same token).")
    assert make_account("add", "--all-pages", given=f"{listed['accounts'][0]['instagram_token']}\n")[0] == 2


@pytest.mark.parametrize(("token", "exchanges"), [("EAASHORT-several", 1), ("EAASIMLONG-several", 0)])
def test_a_short_lived_token_of_a_user_is_exchanged_before_its_pages_are_read(
    make_account, simulator, token, exchanges
):
    calls(simulator)

    assert make_account("add", "--all-pages", given=f"{token}\n")[0] == 0

    assert sum("grant_type=fb_exchange_token" in call for call in calls(simulator)) == exchanges


@pytest.mark.parametrize(("age_days", "exchanges"), [(57, 0), (58.5, 1)])
def test_the_last_two_days_of_a_token_count_as_a_short_life_as_they_do_for_make_connect(
    make_account, simulator, listed, age_days, exchanges
):
    order = {"account": listed["accounts"][0]["id"], "login": "facebook", "age_days": age_days}
    given = simulator.post("/_simulator/tokens", order).json()["token"]
    calls(simulator)

    assert make_account("add", "--all-pages", given=f"{given}\n")[0] == 0

    assert sum("grant_type=fb_exchange_token" in call for call in calls(simulator)) == exchanges


def test_a_token_whose_end_is_not_known_is_exchanged_as_it_is_for_make_connect(make_account, simulator):
    fault = {"provider": "instagram", "kind": "wrong_type", "path": "debug_token"}
    simulator.post("/_simulator/faults", fault | {"at": "data.expires_at", "value": None, "times": 1})
    calls(simulator)

    assert make_account("add", "--all-pages", given="EAASIMLONG-several\n")[0] == 0

    assert sum("grant_type=fb_exchange_token" in call for call in calls(simulator)) == 1


# The file

OF_FACEBOOK, OF_INSTAGRAM = "EAAtokenOFfacebook", "IGAAtokenOFinstagram"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (f"{COLUMNS}\n{OF_FACEBOOK},,,,\n", ["line 2: page_id or id is missing"]),
        (f"{COLUMNS}\n,instagram,,,\n", ["line 2: token is missing"]),
        (f"{COLUMNS}\nshort,instagram,,,\n", ["line 2: token has a space"]),
        (f"{COLUMNS}\n{OF_FACEBOOK},instagram,1,,\n", ["line 2: login is instagram, but the token"]),
        (f"{COLUMNS}\nunknownTOKEN,,1,,\n", ["line 2: login is missing"]),
        (f"{COLUMNS}\n{OF_FACEBOOK},,1.78E+16,,\n", ["line 2: page_id was rounded by a spreadsheet"]),
        (f"{COLUMNS}\n{OF_FACEBOOK},,12x,,\n", ["line 2: page_id has to be a number"]),
        (f"{COLUMNS}\n{OF_FACEBOOK},,1,,a b\n", ["line 2: username has to be"]),
        (f"{COLUMNS}\n{OF_FACEBOOK},,1\n\n{OF_FACEBOOK},,1,,\n", ["line 2: it has 3 values, and the first line has 5"]),
        (f"{COLUMNS}\n{OF_FACEBOOK},,1,,\n{OF_FACEBOOK}x,,1,,\n", ["line 3: it has the same page_id as line 2"]),
        (f"{COLUMNS}\n{OF_INSTAGRAM},,,,\n{OF_INSTAGRAM},,,,\n", ["line 3: it has the same token as line 2"]),
        (
            f"{COLUMNS}\na b,whatsapp,12x,1.78E+16,a b\n",
            [
                "line 2: token has a space",
                "; page_id has to be a number",
                "; id was rounded by a spreadsheet",
                "; username has to be",
                "; login has to be facebook or instagram",
            ],
        ),
        (
            '{"token": ["x"], "usernme": "x"}',
            ["line 1: usernme is no column, probably username; accepted", "token: not a text"],
        ),
        (
            f"token,pageid,logn\n{OF_FACEBOOK},1,facebook\n",
            ["line 1: pageid is no column, probably page_id; logn is no column, probably login; accepted"],
        ),
        (f"{OF_FACEBOOK},,1,,\n", [f"line 1: it has to be {COLUMNS}"]),
        ("login,id\nfacebook,1\n", ["line 1: the column token is missing"]),
        (
            '{"token": "x"\n{"token": ["x"]}\n[]\n',
            ["line 1: it is no JSON", "line 2: token: not a text", "line 3: it is no JSON object"],
        ),
        ("", ["The file has no account."]),
    ],
)
def test_every_fault_of_a_file_is_named_with_its_line_before_any_call(text, faults):
    with pytest.raises(FileError) as refused:
        accounts_of(text)

    said = str(refused.value)
    assert [fault for fault in faults if fault not in said] == []
    assert OF_FACEBOOK not in said
    assert OF_INSTAGRAM not in said


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_file_of_a_spreadsheet_is_read(delimiter):
    text = f"\ufeffID,Token,Username\r\n'17841400000000011,{OF_FACEBOOK},@Bakery\r\n\r\n".replace(",", delimiter)

    [account] = accounts_of(text)

    assert (account.id, account.token, account.username, account.login, account.line) == (
        "17841400000000011",
        OF_FACEBOOK,
        "bakery",
        "facebook",
        2,
    )


def test_a_file_that_is_wrong_or_missing_adds_nothing(make_account, accounts, simulator, tmp_path):
    simulator.post("/_simulator/calls/reset")

    ended, _, said = make_account("add", "--file", "-", given=as_csv([*accounts[:2], {**accounts[2], "page_id": "x"}]))
    assert (ended, "line 4: page_id has to be" in said) == (2, True)
    assert make_account("add", "--file", str(tmp_path / "missing.csv"))[0] == 2
    assert (calls(simulator), ids(make_account)) == ([], [])
