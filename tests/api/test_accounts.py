"""GET /accounts: what a caller may see, with the health of each account and the next step; no provider is called."""

from __future__ import annotations

import logging
import time

import pytest

from services import request_context
from services.accounts.current_tokens import fingerprint
from services.accounts.needed_permissions import OF_FACEBOOK
from services.accounts.token_encryption import TokenEncryption, new_key
from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.background.job_schedule import FAILURES
from services.caller import Caller, Scope
from services.errors import TokenExpiredError, TokenInvalidError
from services.request_context import RequestContext
from services.status import NEED_A_PERSON, TOKEN_WORDS
from services.store.account_health import CallRow, CheckRow
from services.store.account_tokens import TokenRow
from services.store.accounts import AccountRow
from services.store.database import DatabaseUnavailableError
from tests.support import ACCOUNT_ID, GRAPH, add_key, bearer, graph_error, settings, table_rows

KEY = new_key()
INSTAGRAM = "https://graph.instagram.com"
BAKERY, CAFE = "17841400000000011", "17841400000000022"
NO_OTHER = {"access_long_lived_token": "", "instagram_account_id": "", "page_id": ""}
DAY = 86_400  # seconds
STARTED = "2026-06-15T18:00:02Z"


@pytest.fixture
def gateway(make_client, clock):
    """Build a gateway with some accounts in its table."""

    def build(*ids, key=KEY, **changes):
        client = make_client(settings(token_key=KEY, **changes), clock=clock)
        add(client, *ids, key=key)
        clock.wait(2)
        return client

    return build


def services_of(client):
    return client.application.extensions["services"]


def add(client, *ids, key=KEY, token="EAAtokenOFaccount"):
    token_encryption = TokenEncryption([key], learn=lambda _: None)
    for id_ in ids:
        sealed = token_encryption.seal(f"{token}{id_}")
        services_of(client).store.accounts.put(AccountRow(id_, f"a{id_[-2:]}", "facebook", "", sealed, 1.0))


def listed(client, **query):
    services_of(client).health_recorder.share()
    response = client.get("/accounts", query_string=query)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def health(client, account):
    return next(each["health"] for each in listed(client)["accounts"] if each["id"] == account)


def state(client, account):
    found = health(client, account)
    return found["state"], found["reason"]


def test_the_account_of_the_settings_and_the_added_ones_are_listed_without_a_call(gateway):
    client = gateway(CAFE, BAKERY)

    response = client.get("/accounts")

    body = response.get_json()
    assert body["accounts"][1] == {
        "id": BAKERY,
        "username": "a11",
        "login": "facebook",
        "source": "instagram",
        "added_at": "1970-01-01T00:00:01Z",
        "health": {
            "state": "unknown",
            "reason": "not_checked",
            "message": "The account was not read yet.",
            "next_step": f'For the operator: `make account ARGS="check {BAKERY}"`.',
            "checked_at": None,
            "answered_at": None,
        },
    }
    assert [(each["id"], each["added_at"] is None) for each in body["accounts"]] == [
        (ACCOUNT_ID, True),
        (BAKERY, False),
        (CAFE, False),
    ]
    assert (body["meta"]["total"], body["meta"]["states"], body["meta"]["next_cursor"]) == (3, {"unknown": 3}, None)
    assert (response.headers["X-Provider-Calls"], response.headers["Cache-Control"]) == ("0", "no-store")


@pytest.mark.parametrize("linked", [ACCOUNT_ID, int(ACCOUNT_ID)], ids=["text", "number"])
def test_an_account_of_the_settings_that_was_not_read_yet_has_no_id(gateway, wire, linked):
    client = gateway(BAKERY, instagram_account_id="", page_id="555")

    assert [each["id"] for each in listed(client)["accounts"]] == [None, BAKERY]
    assert [each["id"] for each in listed(client, limit=1)["accounts"]] == [None]
    assert [each["id"] for each in listed(client, limit=1, cursor="0")["accounts"]] == [BAKERY]

    wire.get(f"{GRAPH}/v25.0/555", json={"instagram_business_account": {"id": linked}})
    wire.get(f"{GRAPH}/v25.0/{ACCOUNT_ID}/media", json={"data": []})
    assert client.get("/top-posts?time_range=7d").status_code == 200
    assert [each["id"] for each in listed(client)["accounts"]] == [ACCOUNT_ID, BAKERY]


def test_an_account_that_answers_is_ok_until_its_token_is_rejected_and_again_with_a_new_one(gateway, wire, clock):
    client = gateway(BAKERY)
    path = f"/top-posts?time_range=7d&account={BAKERY}"
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json={"data": []})
    assert client.get(path).status_code == 200
    assert health(client, BAKERY) == {
        "state": "ok",
        "reason": None,
        "message": None,
        "next_step": None,
        "checked_at": None,
        "answered_at": STARTED,
    }

    clock.wait(2 * 3600)
    wire.replace("GET", f"{GRAPH}/v25.0/{BAKERY}/media", json=graph_error(190, 463), status=400)
    client.get(f"{path}&refresh=true")
    assert state(client, BAKERY) == ("needs_login", "expired")
    assert "make account" in health(client, BAKERY)["next_step"]
    assert state(client, ACCOUNT_ID) == ("unknown", "not_checked")

    clock.wait(3600)
    add(client, BAKERY, token="EAAnewTOKENofANaccount")
    clock.wait(2)
    assert state(client, BAKERY) == ("unknown", "not_checked")
    wire.replace("GET", f"{GRAPH}/v25.0/{BAKERY}/media", json={"data": []})
    client.get(f"{path}&refresh=true")
    assert state(client, BAKERY) == ("ok", None)


def test_an_account_that_instagram_blocks_is_not_readable_until_it_answers_again(gateway, wire, clock):
    client = gateway(BAKERY)
    path = f"/top-posts?time_range=7d&account={BAKERY}"
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json=graph_error(368), status=400)
    assert client.get(path).status_code == 503
    assert health(client, BAKERY) == {
        "state": "not_readable",
        "reason": "provider_blocked",
        "message": "Instagram blocks this user for reasons of policy.",
        "next_step": "Log in at facebook.com and read the notice there.",
        "checked_at": None,
        "answered_at": None,
    }

    clock.wait(86_400)
    wire.replace("GET", f"{GRAPH}/v25.0/{BAKERY}/media", json={"data": []})
    client.get(path)
    assert state(client, BAKERY) == ("ok", None)


def test_the_heartbeat_writes_what_calls_bring(gateway, wire):
    client = gateway(BAKERY)
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json={"data": []})

    client.get(f"/top-posts?time_range=7d&account={BAKERY}")

    deadline = time.monotonic() + 20
    while client.get("/accounts?state=ok").get_json()["meta"]["total"] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("permission_denied", "permissions_missing"),
        ("scopes_missing", "permissions_missing"),
        ("token_not_valid", "needs_login"),
        ("data_access_expired", "needs_login"),
        ("other_account", "not_readable"),
        ("object_not_found", "not_readable"),
        (None, "ok"),
    ],
)
def test_a_check_that_failed_says_why_and_what_to_do(gateway, clock, code, expected):
    client = gateway(BAKERY)
    said = {} if code is None else {"failure": "It failed.", "next_step": "Do this."}

    services_of(client).store.account_health.checked(CheckRow(BAKERY, clock.timestamp(), code, **said))

    found = health(client, BAKERY)
    assert (found["state"], found["reason"], found["next_step"]) == (expected, code, said.get("next_step"))
    assert found["checked_at"] == STARTED


def plan_check(wire, *, can_inspect=True, **more):
    """Let Instagram answer the calls of a check."""
    if can_inspect:
        details = {"is_valid": True, "app_id": "1234", "expires_at": 0, "scopes": list(OF_FACEBOOK)}
        wire.get(f"{GRAPH}/v25.0/debug_token", json={"data": details | more})
    wire.get(f"{GRAPH}/v25.0/{BAKERY}", json={"id": BAKERY, "username": "a11"})
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/insights", json={"data": [{"name": "reach", "total_value": {"value": 7}}]})


def checked(client, page_id=""):
    services = services_of(client)
    return services.checkup.of(services.accounts.find(BAKERY), page_id)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, (False, "data_access_expired")), (14 * DAY, (True, "token_expiring")), (14 * DAY + 1, (True, None))],
)
def test_a_check_sees_the_end_of_the_access_to_data(gateway, wire, clock, seconds, expected):
    client = gateway(BAKERY)
    plan_check(wire, data_access_expires_at=int(clock.timestamp()) + seconds)

    token, *_ = checked(client)

    assert (token.ok, token.code) == expected


def test_a_check_names_a_token_of_another_app(gateway, wire):
    client = gateway(BAKERY)
    plan_check(wire, app_id="999")

    token, *_ = checked(client)

    assert (token.ok, token.code) == (False, "token_of_other_app")


def test_a_check_of_an_account_with_the_page_of_another_one_fails_and_reads_no_insights(gateway, wire):
    client = gateway(BAKERY, app_id="", app_secret="")
    wire.get(f"{GRAPH}/v25.0/{BAKERY}", json={"id": BAKERY, "username": "a11"})
    wire.get(f"{GRAPH}/v25.0/555", json={"instagram_business_account": {"id": CAFE}})

    checks = checked(client, "555")

    assert [(check.ok, check.code) for check in checks] == [(None, None), (False, "other_account"), (None, None)]


def test_without_the_database_a_check_is_made_and_not_kept(gateway, wire, monkeypatch):
    client = gateway(BAKERY)
    plan_check(wire)

    def fail(*_):
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(services_of(client).store.account_health, "checked", fail)

    assert [check.ok for check in checked(client)] == [True, True, True]


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        ("debug_token", {"json": graph_error(190), "status": 400}, "app_not_accepted"),
        (f"{BAKERY}/insights", {"json": graph_error(2), "status": 503}, "provider_unavailable"),
        (f"{BAKERY}/insights", {"json": graph_error(80002), "status": 400}, "provider_rate_limited"),
        (f"{BAKERY}/insights", {"body": "<html>"}, "provider_response_invalid"),
    ],
)
def test_a_check_that_failed_for_the_app_or_the_moment_says_nothing_of_the_account(gateway, wire, path, answer, code):
    client = gateway(BAKERY)
    plan_check(wire)
    wire.replace("GET", f"{GRAPH}/v25.0/{path}", **answer)

    checks = checked(client)

    assert [check.code for check in checks if check.ok is False] == [code]
    assert (health(client, BAKERY)["checked_at"], state(client, BAKERY)[0]) == (
        None,
        "throttled" if code == "provider_rate_limited" else "ok",
    )


def test_a_check_without_the_credentials_of_the_app_counts_as_one(gateway, wire):
    client = gateway(BAKERY, app_id="", app_secret="")
    plan_check(wire, can_inspect=False)

    assert [check.ok for check in checked(client)] == [None, True, True]
    assert (health(client, BAKERY)["checked_at"], state(client, BAKERY)) == (STARTED, ("ok", None))


def test_a_token_that_a_caller_tests_says_nothing_of_an_account_that_was_not_read_yet(gateway, wire):
    client = gateway(instagram_account_id="")
    wire.get(f"{GRAPH}/v25.0/17900000000000001/insights", json=graph_error(190), status=400)
    header = {"X-Instagram-Access-Token": "EAAcallersOWNtoken0000000"}

    assert not client.get("/api/instagram/insights/test?media_id=17900000000000001", headers=header).get_json()["works"]

    assert state(client, None) == ("unknown", "not_checked")


def test_an_answered_call_ends_an_older_failure_but_no_missing_permission(gateway, wire, clock):
    client = gateway(BAKERY, CAFE)
    for account, code in ((BAKERY, "object_not_found"), (CAFE, "permission_denied")):
        services_of(client).store.account_health.checked(
            CheckRow(account, clock.timestamp(), code, "It failed.", "Do.")
        )
        wire.get(f"{GRAPH}/v25.0/{account}/media", json={"data": []})
    clock.wait(60)

    for account in (BAKERY, CAFE):
        client.get(f"/top-posts?time_range=7d&account={account}")

    assert state(client, BAKERY) == ("ok", None)
    assert state(client, CAFE) == ("permissions_missing", "permission_denied")


def test_a_token_that_no_key_opens_and_a_throttle_are_named(gateway, wire):
    client = gateway(BAKERY)
    add(client, CAFE, key=new_key())
    services_of(client).store.accounts.rename(CAFE, "closed")
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json=graph_error(80002), status=400)
    client.get(f"/top-posts?time_range=7d&account={BAKERY}")

    assert state(client, CAFE) == ("not_readable", "token_not_decrypted")
    assert "TOKEN_KEY" in health(client, CAFE)["next_step"]
    assert state(client, BAKERY) == ("throttled", "provider_rate_limited")


def test_a_throttle_of_the_whole_app_is_one_of_each_account(gateway, wire):
    client = gateway(BAKERY, CAFE)
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json=graph_error(4), status=400)
    client.get(f"/top-posts?time_range=7d&account={BAKERY}")

    assert state(client, CAFE) == ("throttled", "provider_rate_limited")


def test_of_two_throttles_the_later_end_is_named(gateway, wire):
    client = gateway(BAKERY, CAFE)
    for account, code, seconds in ((BAKERY, 80002, 7200), (CAFE, 4, 3600)):
        answer = {"json": graph_error(code), "status": 400, "headers": {"Retry-After": str(seconds)}}
        wire.get(f"{GRAPH}/v25.0/{account}/media", **answer)
        client.get(f"/top-posts?time_range=7d&account={account}")

    found = [health(client, account) for account in (BAKERY, CAFE)]
    assert [(each["message"], each["next_step"]) for each in found] == [
        (f"Instagram limits the calls of this account until {until}.", f"Wait until {until}.")
        for until in ("2026-06-15T20:00:02Z", "2026-06-15T19:00:02Z")
    ]


def test_the_status_of_a_key_warns_of_an_end_and_counts_no_throttle(gateway, wire, clock):
    client = gateway(BAKERY, CAFE)
    store, now = services_of(client).store, clock.timestamp()
    mine = fingerprint(f"EAAtokenOFaccount{CAFE}")
    ends = {"expires_at": now + 5 * DAY, "checked_at": now, "kind": "USER"}
    store.account_tokens.put(TokenRow(CAFE, mine, mine, seen_at=now, written_at=now, **ends))
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json=graph_error(80002), status=400)
    client.get(f"/top-posts?time_range=7d&account={BAKERY}")

    body = client.get("/status", headers=bearer(add_key(store, accounts=[BAKERY, CAFE])[1])).get_json()

    assert body["status"] == "ok"
    assert [(check["state"], check["code"]) for check in body["checks"]] == [
        ("not_checked", "provider_rate_limited"),
        ("warning", "expires_soon"),
    ]


def test_the_next_step_of_a_rejected_token_is_that_of_where_it_was_given(gateway, clock):
    client = gateway(BAKERY)
    table = services_of(client).store.account_health
    table.called([CallRow(account, None, clock.timestamp(), "token_invalid") for account in (ACCOUNT_ID, BAKERY)])

    steps = [health(client, account)["next_step"] for account in (ACCOUNT_ID, BAKERY)]

    assert ["set ACCESS_LONG_LIVED_TOKEN" in step for step in steps] == [True, False]
    assert ["make account" in step for step in steps] == [False, True]


def test_a_token_that_no_key_opens_fails_the_check_of_tokens_whatever_else_is_wrong(gateway, clock):
    client, now = gateway(BAKERY), clock.timestamp()
    mine = fingerprint(f"EAAtokenOFaccount{BAKERY}")
    lacks = TokenRow(BAKERY, mine, mine, seen_at=now, written_at=now, checked_at=now, missing_scopes="instagram_basic")
    services_of(client).store.account_tokens.put(lacks)
    add(client, CAFE, key=new_key())
    clock.wait(2)

    (check,) = [each for each in client.get("/status").get_json()["checks"] if each["name"] == "tokens"]

    assert (check["state"], check["code"]) == ("failing", "token_not_decrypted")
    assert check["fact"] == "1 not decrypted, 1 without a permission, 1 not inspected"
    assert "TOKEN_KEY" in check["next_step"]


def test_the_states_of_tokens_that_need_a_person_are_the_first_ones():
    assert set(list(TOKEN_WORDS)[: len(NEED_A_PERSON)]) == NEED_A_PERSON


def test_tokens_that_no_key_opens_are_one_line_of_the_log_and_none_of_each_job(gateway, clock, caplog):
    client = gateway(BAKERY, key=new_key())
    add(client, CAFE, key=new_key())
    clock.wait(2)
    services = services_of(client)
    runner = Runner(services.store, handlers(services, clock), clock)
    for kind in FAILURES:
        services.store.jobs.put(kind, BAKERY, due_at=clock.timestamp())

    for task in services.heartbeat._tasks:
        if task.name == "try to open the tokens":
            task.run()
            task.run()
    ran = [job.kind for job in runner.claim("we", 20) if (runner.run(job), job.kind in FAILURES)[1]]

    assert sorted(ran) == sorted(FAILURES)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line.levelname, line.accounts, line.of) == ("ERROR", 2, 2)
    assert "TOKEN_KEY" in line.next_step


def test_without_a_key_the_check_says_that_it_is_missing(make_client, clock):
    client = make_client(settings(), clock=clock)
    add(client, BAKERY)
    check = services_of(client).account_list.overview().check

    assert (check.ok, check.code) == (False, "token_not_decrypted")
    assert "TOKEN_KEY is missing" in check.message
    assert "make account ARGS=key" in check.next_step


def test_a_new_token_and_a_removal_end_what_was_known(gateway, clock):
    client = gateway(BAKERY)
    table = services_of(client).store.account_health
    table.checked(CheckRow(BAKERY, clock.timestamp(), "permission_denied", "It failed.", "Do."))
    assert state(client, BAKERY)[0] == "permissions_missing"

    add(client, BAKERY)
    assert state(client, BAKERY)[0] == "unknown"

    table.checked(CheckRow(BAKERY, clock.timestamp()))
    services_of(client).store.accounts.remove(BAKERY)
    assert table.rows() == {}


def test_pages_states_and_csv(gateway, clock):
    ids = [f"{'99999999999' if number < 3 else '1784140000000'}{number:04d}" for number in range(1, 26)]
    client = gateway(*ids, **NO_OTHER)
    services_of(client).store.account_health.checked(
        CheckRow(ids[3], clock.timestamp(), "permission_denied", "=No", "Do.")
    )

    seen, cursor = [], None
    while True:
        page = listed(client, limit=10, **({"cursor": cursor} if cursor else {}))
        assert page["meta"]["total"] == 25
        seen += [each["id"] for each in page["accounts"]]
        if (cursor := page["meta"]["next_cursor"]) is None:
            break

    assert seen == ids
    assert [listed(client, limit=limit)["meta"]["next_cursor"] for limit in (24, 25)] == [ids[23], None]
    assert listed(client)["meta"]["states"] == {"permissions_missing": 1, "unknown": 24}
    [found] = listed(client, state="permissions_missing,needs_login")["accounts"]
    assert found["id"] == ids[3]
    [row] = table_rows(client.get("/accounts?state=permissions_missing&format=csv"))
    assert (row["id"], row["username"], row["state"], row["message"]) == (
        f"'{ids[3]}",
        "a04",
        "permissions_missing",
        "'=No",
    )
    refused = client.get("/accounts?state=broken").get_json()
    assert refused["code"] == "bad_request"
    assert "needs_login" in refused["message"]


def test_a_caller_sees_its_own_accounts_only(gateway):
    client = gateway(BAKERY, CAFE, instagram_account_id="", page_id="555")
    services = services_of(client)

    def of(accounts):
        context = RequestContext(started_at=0.0, caller=Caller("k", Scope.READ, accounts))
        request_context.current.set(context)
        try:
            answer = services.account_list.page((), limit=10, cursor=None).as_json()
        finally:
            request_context.current.set(None)
        return [each["id"] for each in answer["accounts"]], answer["meta"]["total"]

    assert of(frozenset({CAFE})) == ([CAFE], 1)
    assert of(frozenset()) == ([], 0)
    assert of(None) == ([None, BAKERY, CAFE], 3)
    first = listed(client, limit=1)
    second = listed(client, limit=1, cursor=first["meta"]["next_cursor"])
    assert [page["accounts"][0]["id"] for page in (first, second)] == [None, BAKERY]


def test_an_account_whose_id_is_not_known_yet_is_none_of_a_key_for_others(gateway, wire):
    client = gateway(BAKERY, instagram_account_id="", page_id="555")
    keys = [add_key(services_of(client).store, accounts=ids)[1] for ids in ([BAKERY], [BAKERY, CAFE])]
    wire.get(f"{GRAPH}/v25.0/555", json={"instagram_business_account": {"id": ACCOUNT_ID}})

    replies = [
        client.get(f"/top-posts?time_range=7d&account={account}", headers=bearer(key))
        for key in keys
        for account in (ACCOUNT_ID, CAFE)
    ]

    assert [(reply.status_code, reply.get_json()["code"]) for reply in replies] == [(404, "account_unknown")] * 4
    assert [reply.headers["X-Provider-Calls"] for reply in replies] == ["0", "0", "1", "0"]


def test_a_name_that_another_process_has_noted_is_in_replies_that_were_ready(gateway, wire, clock):
    client = gateway(BAKERY)
    wire.get(f"{GRAPH}/v25.0/{BAKERY}/media", json={"data": []})
    path, names = f"/top-posts?time_range=7d&account={BAKERY}", []
    for name in ("a11", "new"):
        services_of(client).store.accounts.rename(BAKERY, name)
        clock.wait(2)
        services_of(client).accounts._registry.read()
        names.append(client.get(path).get_json()["meta"]["username"])

    assert names == ["a11", "new"]


def test_without_the_database_the_known_accounts_are_listed_with_unknown_health(gateway, monkeypatch):
    client = gateway(BAKERY)
    listed(client)

    def fail(*_):
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(services_of(client).store.account_health, "rows", fail)
    monkeypatch.setattr(services_of(client).store.account_tokens, "all", fail)

    assert state(client, BAKERY) == ("unknown", "database_unavailable")


def test_an_account_table_that_cannot_be_read_is_no_unexpected_error_of_a_job(gateway, clock, caplog):
    client = gateway(BAKERY)
    services = services_of(client)
    runner = Runner(services.store, handlers(services, clock), clock)
    with services.store.databases[1].write() as connection:
        connection.exec_driver_sql("ALTER TABLE accounts RENAME TO accounts_away")
    for kind in FAILURES:
        services.store.jobs.put(kind, BAKERY, due_at=clock.timestamp())

    for job in runner.claim("we", 20):
        runner.run(job)

    lines = [each for each in caplog.records if "background" in each.name and each.levelno >= logging.WARNING]
    assert {record.levelname for record in lines} == {"WARNING"}
    assert sorted(record.message for record in lines if hasattr(record, "next_step")) == sorted(
        message for message, _ in FAILURES.values()
    )
    assert services.store.jobs.counts(now=clock.timestamp()).waiting == len(FAILURES)


def test_an_account_whose_login_is_none_is_absent_and_takes_no_other_one_with_it(gateway, clock, caplog):
    client = gateway(BAKERY, CAFE, **NO_OTHER)
    with services_of(client).store.databases[1].write() as connection:
        connection.exec_driver_sql(f"UPDATE accounts SET login = 'fax' WHERE id = '{CAFE}'")
    clock.wait(2)

    assert [each["id"] for each in listed(client)["accounts"]] == [BAKERY]
    assert client.get("/status").status_code == 200
    assert client.get(f"/compare?accounts={CAFE}").get_json()["accounts"][0]["error"]["code"] == "account_unknown"
    assert [record.table for record in caplog.records if "damaged row" in record.message] == ["accounts"]


def test_an_answer_soon_after_a_rejection_ends_it(gateway, clock):
    client = gateway(BAKERY)
    rejected = TokenInvalidError("Refused.", provider="instagram")
    found = []
    for end in (None, rejected, None):
        services_of(client).health_recorder.ended(BAKERY, end)
        found.append(state(client, BAKERY))
        clock.wait(10)

    assert found == [("ok", None), ("needs_login", "token_invalid"), ("ok", None)]


def test_what_could_not_be_written_of_an_account_is_written_later_with_what_came_since(gateway, clock, monkeypatch):
    services = services_of(gateway(BAKERY))
    recorder, health = services.health_recorder, services.store.account_health
    began = clock.timestamp()

    def unavailable(_rows):
        clock.wait(1)
        recorder.ended(BAKERY, TokenExpiredError("Expired.", provider="instagram"))
        raise DatabaseUnavailableError("gateway", "it is away")

    recorder.ended(BAKERY, None)
    recorder.ended(BAKERY, TokenInvalidError("Refused.", provider="instagram"))
    with monkeypatch.context() as patch:
        patch.setattr(health, "called", unavailable)
        with pytest.raises(DatabaseUnavailableError):
            recorder.share()
    recorder.share()

    row = health.of([BAKERY])[BAKERY]
    assert (row.answered_at, row.rejected_at, row.rejected_as) == (began, began + 1, "token_expired")


def test_a_check_after_a_rejection_ends_it(gateway, clock):
    client = gateway(BAKERY)
    health = services_of(client).store.account_health
    health.called([CallRow(BAKERY, None, clock.timestamp(), "token_invalid")])
    before = state(client, BAKERY)

    health.checked(CheckRow(BAKERY, clock.timestamp() + 1))

    assert (before, state(client, BAKERY)) == (("needs_login", "token_invalid"), ("ok", None))


def test_a_profile_without_a_username_leaves_the_known_one(gateway):
    services = services_of(gateway(BAKERY))

    services.accounts.as_profile(services.accounts.find(BAKERY), {"followers_count": 7})

    assert [row.username for row in services.store.accounts.rows()] == ["a11"]
