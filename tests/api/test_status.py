"""GET /status and `make doctor`: each check in one structure, the accounts in brief, to each key what it may see."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from commands import doctor
from config import Config, ConfigError
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.account_health import CheckRow
from services.store.accounts import AccountRow
from tests.support import add_key, bearer

KEY, OLD_KEY = new_key(), new_key()
FIELDS = ["name", "state", "ok", "fact", "message", "next_step", "code", "causes"]
OF_ACCOUNT = ["token", "account link", "insights"]
OF_GATEWAY = ["work", "stories", "posts", "history"]


@pytest.fixture
def world(make_world):
    return make_world(TOKEN_KEY=f"{KEY},{OLD_KEY}")


def add(world, *, number, key=KEY, failed_as=None, first=100, account=None, token=None):
    """Add accounts that no test reads, of which a check failed or did not."""
    store = world.services.store
    encryption = TokenEncryption([key], learn=lambda _: None)
    for index in range(first, first + number):
        id_ = account or f"17841400000000{index}"
        sealed = encryption.seal(token or f"EAAtoken{index}")
        store.accounts.put(AccountRow(id_, f"a{index}", "facebook", "", sealed, 1.0))
        row = CheckRow(id_, world.clock.timestamp(), failed_as, failed_as and "It failed.", failed_as and "Do this.")
        store.account_health.checked(row)
    world.advance(seconds=3)


def status(world):
    """The status, once what was noted of calls is written."""
    world.body("/status")
    world.services.health_recorder.share()
    return world.body("/status")


def checks(body):
    return {check["name"]: check for check in body["checks"]}


def test_each_check_has_a_state_a_fact_and_a_next_step(world):
    body = status(world)

    assert [list(check) for check in body["checks"]] == [FIELDS] * len(body["checks"])
    assert all(check["fact"] == check["message"] for check in body["checks"])
    assert {name: check["state"] for name, check in checks(body).items()} == {
        "token": "ok",
        "account link": "ok",
        "insights": "ok",
        "version": "ok",
        "encryption key": "ok",
        "Modash key": "ok",
    }
    assert (body["status"], body["accounts"]["total"], body["accounts"]["states"]) == ("ok", 1, {"ok": 1})


def test_hundreds_of_accounts_are_counted_and_the_worst_are_named_without_a_call(world):
    add(world, number=100)
    add(world, number=12, failed_as="permission_denied", first=500)
    add(world, number=2, failed_as="token_expired", first=700)
    status(world)
    world.calls()

    body = world.body("/status")

    assert world.calls() == []
    summary = body["accounts"]
    assert (summary["total"], summary["states"]) == (115, {"needs_login": 2, "permissions_missing": 12, "ok": 101})
    assert [each["health"]["state"] for each in summary["worst"]] == ["needs_login"] * 2 + ["permissions_missing"] * 8
    assert summary["more"] == "/accounts?state=needs_login,not_readable,permissions_missing,expiring"
    assert world.get(summary["more"]).get_json()["meta"]["total"] == 14
    check = checks(body)["added accounts"]
    assert (body["status"], check["state"], check["code"]) == ("failing", "failing", "needs_login")
    counted, _, checked = check["fact"].rpartition("; ")
    assert counted == "114; 2 needs_login, 12 permissions_missing, 100 ok"
    assert re.fullmatch(r"114 checked, between 20\S+Z and 20\S+Z", checked)
    assert check["next_step"].startswith("a700: Do this. GET /accounts?state=needs_login")


@pytest.mark.parametrize(("age", "state"), [(40, "ok"), (47, "warning")])
def test_a_token_that_ends_within_14_days_warns_and_does_not_fail(world, age, state):
    order = {"account": world.account["id"], "login": "facebook", "age_days": age}
    token = world.simulator.post("/_simulator/tokens", order).json()["token"]
    world.restart(ACCESS_LONG_LIVED_TOKEN=token)

    body = world.body("/status")

    check = checks(body)["token"]
    assert (check["state"], check["ok"], body["status"]) == (state, True, "ok")
    if state == "warning":
        assert (check["code"], "set ACCESS_LONG_LIVED_TOKEN to it and restart" in check["next_step"]) == (
            "token_expiring",
            True,
        )


def test_tokens_under_an_old_key_warn(world):
    add(world, number=3, key=OLD_KEY)
    add(world, number=1, first=500)

    check = checks(world.body("/status"))["encryption key"]

    assert check["state"] == "warning"
    assert check["fact"] == "3 of 4 tokens (refreshed ones included) are encrypted with an old key of TOKEN_KEY."
    assert check["next_step"] == "Run `make account ARGS=rekey`."


def test_a_key_gets_what_is_about_its_accounts_and_nothing_of_the_gateway(make_world):
    world = make_world(TOKEN_KEY=KEY, ALLOW_ANONYMOUS="false")
    add(world, number=2, failed_as="token_expired")
    store, mine, added = world.services.store, world.account["id"], "17841400000000100"
    keys = {
        "own": add_key(store, accounts=[mine])[1],
        "added": add_key(store, accounts=[added])[1],
        "none": add_key(store, accounts=[])[1],
        "admin": add_key(store, scope="admin", accounts=[mine])[1],
        "all": add_key(store)[1],
    }
    world.advance(seconds=3)
    seen = {name: world.get("/status", headers=bearer(key)).get_json() for name, key in keys.items()}

    names = {name: [check["name"] for check in body["checks"]] for name, body in seen.items()}
    assert {name: names[name] for name in ("own", "added", "none", "admin")} == {
        "own": ["account"],
        "added": ["account"],
        "none": [],
        "admin": ["account"],
    }
    assert {*OF_ACCOUNT, "version", "Modash key", "added accounts"} <= set(names["all"])
    totals = {name: body["accounts"]["total"] for name, body in seen.items()}
    assert totals == {"own": 1, "added": 1, "none": 0, "admin": 1, "all": 3}
    for name, body in seen.items():
        shows = name in {"all", "admin"}
        assert {part: body[part] is not None for part in OF_GATEWAY} == dict.fromkeys(OF_GATEWAY, shows), name
    assert [each["id"] for each in seen["added"]["accounts"]["worst"]] == [added]
    assert {name: body["status"] for name, body in seen.items()} == {
        "own": "ok",
        "added": "failing",
        "none": "ok",
        "admin": "ok",
        "all": "failing",
    }


def test_the_doctor_reports_the_same_as_json_and_by_its_exit_status(world, run_command):
    world.simulator.post("/_simulator/clock", {"now": datetime.now(UTC).isoformat()})  # A command has no other clock.
    config = Config.from_env(world.settings)
    ended, text, _ = run_command(doctor, config)
    assert (ended, "ok   insights: the reach of the last days is answered" in text) == (0, True), text

    listed = world.simulator.get("/_simulator/accounts").json()["accounts"][1]
    add(world, number=1, account=listed["id"], token=listed["token"])
    world.simulator.post("/_simulator/clock", {"now": datetime.now(UTC).isoformat()})
    ended, text, _ = run_command(doctor, config, "--json")
    healthy = checks(json.loads(text))["added accounts"]
    assert (ended, healthy["state"], healthy["next_step"]) == (0, "ok", None), healthy

    add(world, number=1, failed_as="token_expired")
    world.simulator.post("/_simulator/clock", {"now": datetime.now(UTC).isoformat()})
    ended, text, _ = run_command(doctor, config, "--json")

    report = json.loads(text)
    assert (ended, report["status"]) == (1, "failing")
    states = {name: check["state"] for name, check in checks(report).items()}
    assert {name: states[name] for name in ("settings", "store", "account link", "insights", "Modash key")} == {
        "settings": "ok",
        "store": "ok",
        "account link": "ok",
        "insights": "ok",
        "Modash key": "ok",
    }
    assert states["added accounts"] == "failing"
    added = checks(report)["added accounts"]
    assert "from earlier checks" in added["message"]
    assert 'make account ARGS="check --failed-only"' in added["next_step"]


def test_the_doctor_names_wrong_settings_in_both_forms(monkeypatch, capsys):
    def refuse():
        raise ConfigError(["PORT is wrong."])

    monkeypatch.setattr(Config, "from_env", refuse)

    assert doctor.main([]) == 2
    assert "PORT is wrong." in capsys.readouterr().err
    assert doctor.main(["--json"]) == 2
    [check] = json.loads(capsys.readouterr().out)["checks"]
    assert (check["state"], check["fact"], check["code"]) == ("failing", "PORT is wrong.", "settings_invalid")
