"""`make connect`: each cause is produced by the simulator and named with its next step, which then works."""

from __future__ import annotations

import io
import json
import os
import stat

import pytest

from commands import connect, doctor
from config import SANDBOX_CREDENTIALS, Config
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.store import Store
from tests.support import leaks_in, new_instance

ACCOUNT, PAGE = "17841400000000000", "100000000000000"
REDIRECT = "https://app.example/back"
LISTED = ("page_not_linked", "account_personal", "account_linked_elsewhere")
APP_USER = ("app_role_missing", "app_in_development")
UNREADABLE = ("account_private", "account_age_gated")

FACEBOOK = {
    "no-page": ("no_page",),
    "no-page-unclear": ("page_in_portfolio", "no_page"),
    "page-not-ticked": ("page_not_ticked",),
    "portfolio": ("page_in_portfolio", "no_page"),
    "portfolio-page-only": ("page_in_portfolio",),
    "portfolio-without-account": ("page_in_portfolio", *LISTED),
    "personal": LISTED,
    "not-linked": LISTED,
    "wrong-scopes": ("scopes_of_other_login",),
    "no-pages-show-list": ("scopes_missing",),
    "no-insights": ("insights_permission_missing",),
    "no-insights-empty": ("insights_permission_missing",),
    "role-missing": APP_USER,
    "in-development": APP_USER,
    "private": UNREADABLE,
    "age-gated": UNREADABLE,
    "expired": ("token_expired",),
    "revoked": ("token_app_removed",),
    "checkpoint": ("token_checkpoint",),
    "password-changed": ("token_password_changed",),
    "unconfirmed": ("token_unconfirmed_user",),
    "logged-out": ("token_revoked",),
    "page-role-lost": ("page_role_missing",),
    "other-app": ("token_of_other_app",),
}
INSTAGRAM = {
    "personal": ("account_personal", *UNREADABLE),
    "wrong-scopes": ("scopes_missing", *APP_USER),
    "no-insights": ("insights_permission_missing",),
    "role-missing": ("scopes_missing", *APP_USER),
    "in-development": ("scopes_missing", *APP_USER),
    "standard-access": APP_USER,
    "private": ("account_personal", *UNREADABLE),
    "age-gated": ("account_personal", *UNREADABLE),
    "expired": ("token_expired",),
    "revoked": ("token_app_removed",),
    "checkpoint": ("token_checkpoint",),
    "password-changed": ("token_password_changed",),
    "unconfirmed": ("token_unconfirmed_user",),
    "logged-out": ("token_revoked",),
    "other-app": ("token_of_other_app",),
}
CODES = {
    "wrong-scopes": ("scopes_of_other_login",),
    "role-missing": ("app_role_missing",),
    "standard-access": APP_USER,
    "no-insights-empty": ("insights_permission_missing",),
}
CASES = [
    *[(f"EAASHORT-{state}", (), codes) for state, codes in FACEBOOK.items()],
    *[(f"IGAASHORT-{state}", (), codes) for state, codes in INSTAGRAM.items()],
    *[
        (f"AQSANDBOX-{state}", ("--login", "instagram", "--redirect-uri", REDIRECT), codes)
        for state, codes in CODES.items()
    ],
    ("EAASHORT-linked-elsewhere", ("--page-id", PAGE), ("account_linked_elsewhere",)),
    ("EAASHORT-no-page-unclear", ("--id", ACCOUNT), ("no_page",)),
    ("EAASHORT-granted", ("--id", "1"), ("account_id_wrong", *UNREADABLE)),
    ("IGAASHORT-granted", ("--login", "facebook"), ("token_of_other_login",)),
    ("SIMINSTAGRAM-granted", ("--login", "facebook"), ("token_of_other_login",)),
    ("SIMFACEBOOK-granted", ("--login", "instagram"), ("token_of_other_login",)),
]


@pytest.fixture
def environ(simulator, monkeypatch):
    """The settings of a gateway whose providers are the simulator, with a new database."""
    apps = {name.upper(): text for name, text in SANDBOX_CREDENTIALS.items() if "app_" in name}
    settings = {
        **apps,
        "ENV_FILE": "",
        "GRAPH_BASE_URL": f"{simulator.url}/graph.facebook.com",
        "TOKEN_KEY": new_key(),
        "INSTANCE_PATH": new_instance(),
        "RETRY_BUDGET": "0",
    }

    def set_all(**changes):
        for name, text in (settings | changes).items():
            monkeypatch.setenv(name, text)
        return settings | changes

    set_all()
    return set_all


@pytest.fixture
def run(environ, monkeypatch, capsys):
    """Run the command with a secret on its standard input; return its exit status and its JSON."""

    def connected(secret, *arguments):
        ended, said = run_with_text(secret, "--json", *arguments)
        return ended, json.loads(said)

    def run_with_text(secret, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{secret}\n"))
        ended = connect.main(arguments)
        said = capsys.readouterr()
        assert not leaks_in(said.out + said.err)
        assert not any(
            secret.startswith(kind) and secret in said.out + said.err for kind in ("EAA", "IGAA", "AQ", "SIM")
        )
        return ended, said.out + (said.err if "--json" not in arguments else "")

    connected.text = run_with_text
    return connected


@pytest.fixture
def rows(environ):
    """The accounts that are stored, each with its token."""

    def read():
        config = Config.from_env()
        store = Store.open(config.database_url, config.instance_path, mode="live")
        opened = TokenEncryption(config.token_keys, learn=lambda _: None)
        found = {
            row.id: (row.username, row.login, row.page_id, opened.open(row.token)) for row in store.accounts.rows()
        }
        store.close()
        return found

    return read


@pytest.mark.parametrize("case", CASES, ids=[" ".join([case[0], *case[1]]) for case in CASES])
def test_each_cause_is_named_and_once_it_is_removed_the_account_is_connected(run, rows, simulator, case):
    secret, arguments, codes = case
    ended, found = run(secret, *arguments)

    causes = found["failures"][0]["causes"]
    assert (ended, found["status"], found["connected"]) == (1, "not_connected", [])
    assert tuple(cause["code"] for cause in causes) == codes
    assert all(cause["fact"] and cause["next_step"] for cause in causes)
    assert (found["failures"][0]["check"] is not None) == (len(codes) > 1)
    assert rows() == {}
    state = secret.partition("-")[2]
    simulator.post(f"/_simulator/logins/{state}", {"repaired": True})
    again = secret if "--redirect-uri" not in arguments else f"{secret}-2"
    arguments = arguments if "--redirect-uri" in arguments else ()
    ended, found = run(again, *arguments)
    assert (ended, [each["username"] for each in found["connected"]]) == (0, ["corner.bakery"])
    assert set(rows()) == {ACCOUNT}


@pytest.mark.parametrize("state", ["portfolio", "portfolio-without-account", "portfolio-page-only"])
def test_the_check_by_the_accounts_id_separates_a_portfolio_from_a_missing_page(run, rows, state):
    ended, found = run(f"EAASHORT-{state}")
    assert ended == 1
    assert "--id" in str(found["failures"])

    ended, found = run(f"EAASHORT-{state}", "--id", ACCOUNT)

    assert (ended, found["connected"][0]["id"]) == (0, ACCOUNT)
    assert rows()[ACCOUNT][3] == f"EAASIMLONG-{state}"


def test_an_account_that_was_ticked_is_found_although_its_page_is_hidden(run):
    assert run("EAASHORT-portfolio-ticked")[1]["connected"][0]["id"] == ACCOUNT


def test_the_token_of_the_page_is_stored_and_the_first_number_is_the_true_one(run, rows, simulator):
    ended, text = run.text("EAASHORT-granted")

    truth = simulator.get(f"/_simulator/truth/{ACCOUNT}").json()
    assert ended == 0
    assert f"{truth['followers_count']:,} followers" in text
    assert "people reached" in text
    assert rows()[ACCOUNT] == ("corner.bakery", "facebook", PAGE, "EAASIMPAGE-granted-0")


def test_a_connected_account_is_shown_as_healthy_at_once(run, environ, make_client, simulator):
    environ(ALLOW_ANONYMOUS="true")
    run("EAASHORT-granted")

    (account,) = make_client(Config.from_env()).get("/accounts").get_json()["accounts"]

    assert (account["id"], account["health"]["state"], account["health"]["reason"]) == (ACCOUNT, "ok", None)
    assert account["health"]["checked_at"] is not None


def test_the_text_names_the_cause_and_the_next_step(run):
    ended, text = run.text("EAASHORT-portfolio")

    assert ended == 1
    assert "?    page_in_portfolio: " in text
    assert "?    no_page: " in text
    assert text.count("       next: ") == 2
    assert "check: To separate them: " in text
    assert text.endswith("Nothing was stored.\n")


def test_of_several_accounts_a_script_chooses_by_name_or_all(run, rows):
    ended, found = run("EAASHORT-several")
    assert (ended, found["status"], rows()) == (2, "choice_needed", {})
    assert [each["username"] for each in found["accounts"]] == ["corner.bakery", "ninety_nine", "was.personal"]

    for choice in (("--id", found["accounts"][1]["id"]), ("--account", "@Ninety_Nine")):
        assert run("EAASHORT-several", *choice)[0] == 0
        assert [row[0] for row in rows().values()] == ["ninety_nine"]
    assert run("EAASHORT-several", "--account", "unknown")[0] == 2
    ended, found = run("EAASHORT-several", "--all")
    assert (ended, len(rows())) == (0, 3)
    assert [each["replaced"] for each in found["connected"]] == [False, True, False]


def test_a_person_is_asked_which_accounts_to_connect(run, rows, monkeypatch):
    answers = iter(["none", "9", "1, 3"])

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("getpass.getpass", lambda _: "EAASHORT-several")
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    monkeypatch.setattr("sys.stdin", Terminal())

    assert connect.main(()) == 0
    assert sorted(row[0] for row in rows().values()) == ["corner.bakery", "was.personal"]


@pytest.mark.parametrize("shape", ["list", "flat"])
@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_the_code_of_a_login_is_exchanged(run, simulator, login, shape):
    simulator.post("/_simulator/switches", {"igl_code_answer": shape})

    ended, found = run("AQSANDBOX-granted#_", "--login", login, "--redirect-uri", REDIRECT)

    assert (ended, found["connected"][0]["login"]) == (0, login)
    ended, found = run("AQSANDBOX-granted", "--login", login, "--redirect-uri", REDIRECT)
    assert (ended, found["failures"][0]["causes"][0]["code"]) == (1, "code_not_valid")


@pytest.mark.parametrize(
    ("secret", "name", "code"),
    [
        ("EAASHORT-granted", "APP_SECRET", "app_not_accepted"),
        ("EAASHORT-granted", "APP_ID", "app_not_accepted"),
        ("IGAASHORT-granted", "INSTAGRAM_APP_SECRET", "app_not_accepted"),
    ],
)
def test_a_wrong_app_id_or_secret_is_named(run, environ, secret, name, code):
    environ(**{name: "123456789"})

    ended, found = run(secret)

    assert (ended, found["failures"][0]["causes"][0]["code"]) == (1, code)
    assert name in found["failures"][0]["causes"][0]["next_step"]


@pytest.mark.parametrize("secret", ["EAASHORT-granted", "IGAASHORT-granted"])
def test_a_missing_app_is_named_with_the_place_to_find_it(run, environ, simulator, secret):
    name = "APP_SECRET" if secret.startswith("EAA") else "INSTAGRAM_APP_SECRET"
    environ(**{name: ""})
    simulator.post("/_simulator/calls/reset")

    ended, found = run(secret)

    cause = found["failures"][0]["causes"][0]
    assert (ended, cause["code"]) == (1, "app_settings_missing")
    assert name in cause["next_step"]
    assert "developers.facebook.com" in cause["next_step"]
    assert simulator.get("/_simulator/calls").json()["instagram"]["calls"] == []


def test_a_long_lived_token_of_the_instagram_login_needs_no_app(run, environ):
    environ(INSTAGRAM_APP_ID="", INSTAGRAM_APP_SECRET="")

    assert run("IGAASANDBOXUSERTOKEN", "--long-lived")[0] == 0


def test_a_short_lived_token_that_is_said_to_be_long_lived_is_exchanged(run):
    ended, found = run("IGAASHORT-granted", "--long-lived")

    assert (ended, found["connected"][0]["token_expires_at"] is not None) == (0, True)


def test_a_token_of_the_facebook_login_whose_end_is_not_known_is_exchanged(run, simulator):
    fault = {"provider": "instagram", "kind": "wrong_type", "path": "debug_token"}
    simulator.post("/_simulator/faults", fault | {"at": "data.expires_at", "value": None, "times": 1})
    simulator.post("/_simulator/calls/reset")

    assert run("EAASIMLONG-granted")[0] == 0

    made = [call["path"] for call in simulator.get("/_simulator/calls").json()["instagram"]["calls"]]
    assert sum("grant_type=fb_exchange_token" in path for path in made) == 1


def test_insights_that_are_empty_without_known_permissions_are_a_warning(run, rows):
    ended, found = run("IGAASHORT-no-insights-empty")

    warning = found["connected"][0]["warning"]
    assert (ended, found["connected"][0]["reach"]) == (0, None)
    assert [cause["code"] for cause in warning["causes"]] == ["insights_permission_missing", "insights_not_ready"]


def test_a_fault_that_passes_is_no_cause_and_has_an_exit_status_of_its_own(run, rows, simulator):
    simulator.post("/_simulator/faults", {"provider": "instagram", "kind": "server_error"})

    ended, found = run("EAASHORT-granted")

    assert (ended, found["status"], found["failures"]) == (3, "try_again", [])
    assert found["next_step"]
    assert rows() == {}


def test_a_refusal_that_is_not_known_is_a_failure_with_metas_words(run, rows, simulator):
    fault = {"provider": "instagram", "kind": "error", "code": 24, "message": "Not for you", "path": "accounts"}
    simulator.post("/_simulator/faults", fault)

    ended, found = run("EAASHORT-granted")

    assert (ended, found["failures"][0]["causes"][0]["code"], rows()) == (1, "provider_refused", {})
    assert "Not for you" in found["failures"][0]["causes"][0]["fact"]


def test_the_account_of_the_settings_is_pointed_out(run, environ):
    environ(ACCESS_LONG_LIVED_TOKEN="EAASANDBOXUSERTOKEN", INSTAGRAM_ACCOUNT_ID=ACCOUNT)

    assert ".env" in run("EAASHORT-granted")[1]["note"]


def test_make_doctor_names_the_cause_of_an_account_that_was_connected(run, simulator, capsys):
    assert run("EAASHORT-private", "--id", ACCOUNT)[0] == 1
    simulator.post("/_simulator/logins/private", {"repaired": True})
    assert run("EAASHORT-private")[0] == 0
    simulator.post("/_simulator/logins/private", {"repaired": False})

    ended = doctor.main([])

    said = capsys.readouterr().out
    assert ended == 1
    assert "FAIL corner.bakery: One of these: The account may be private." in said
    assert "       next: To separate them: " in said


@pytest.mark.parametrize("before", [None, "APP_ID=1\nTOKEN_KEY=\nPORT=8000\n", "APP_ID=1"])
def test_a_key_is_written_into_the_settings_file_where_there_is_none(run, environ, tmp_path, before):
    file = tmp_path / ".env"
    if before is not None:
        file.write_text(before)
        file.chmod(0o600)
    environ(ENV_FILE=str(file) if before is not None else "", TOKEN_KEY="")
    if before is None:
        ended, found = run("EAASHORT-granted", "--write-env")
        assert (ended, found["status"]) == (2, "usage")
        return
    ended, found = run("EAASHORT-granted")
    assert (ended, file.read_text()) == (2, before)
    assert "--write-env" in found["message"]
    ended, found = run("EAASHORT-no-insights", "--write-env")
    assert (ended, found["wrote_token_key"], file.read_text()) == (1, False, before)

    ended, found = run("EAASHORT-granted", "--write-env")

    text = file.read_text()
    line = next(line for line in text.splitlines() if line.startswith("TOKEN_KEY="))
    assert (ended, found["wrote_token_key"]) == (0, True)
    assert len(line) == len("TOKEN_KEY=") + 44
    assert [each for each in text.splitlines() if not each.startswith("TOKEN_KEY")] == [
        each for each in before.splitlines() if not each.startswith("TOKEN_KEY")
    ]
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert line.partition("=")[2] not in json.dumps(found)


@pytest.mark.parametrize("secret", [" ", "short", "EAA with a space", '"EAASHORT-granted'])
def test_what_is_no_token_is_refused_before_anything_is_sent(run, simulator, secret):
    simulator.post("/_simulator/calls/reset")

    ended, found = run(secret)

    assert (ended, found["status"]) == (2, "usage")
    assert simulator.get("/_simulator/calls").json()["instagram"]["calls"] == []
