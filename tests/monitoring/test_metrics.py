"""GET /metrics: what it counts, what it shows of the state, and who gets it."""

from __future__ import annotations

import re

import pytest
import requests
import responses
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from routes.documentation import VERSION
from services.accounts.current_tokens import fingerprint
from services.accounts.token_encryption import TokenEncryption, new_key
from services.errors import PermissionDeniedError, TokenInvalidError
from services.monitoring import metric_families, state
from services.monitoring.metric_families import FAMILIES
from services.monitoring.state import Sample, is_visible
from services.store.account_tokens import TokenRow
from services.store.accounts import AccountRow
from tests.documents import section
from tests.support import ACCOUNT_ID, GRAPH, MODASH, ROOT, TOKEN, NoConnections, add_key, bearer, graph_error, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"


def samples(client, **options):
    """The values by name and labels, as a parser that is not ours reads them."""
    response = client.get("/metrics", **options)
    assert response.status_code == 200, response.get_json()
    families = text_string_to_metric_families(response.get_data(as_text=True))
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def of(found, name):
    return {labels: value for (family, *rest), value in found.items() if family == name for labels in [tuple(rest)]}


@pytest.fixture
def services(client):
    return client.application.extensions["services"]


def test_the_documents_have_every_metric_as_it_is_and_no_other():
    table = section(ROOT / "docs" / "operations.md", "Metrics")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|([^|]*)\|$", table, re.MULTILINE)

    written = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), meaning.strip()) for name, kind, labels, meaning in rows
    }
    expected = {
        f"{name}_total" if family.kind == "counter" else name: (family.kind, family.labels, family.help)
        for name, family in FAMILIES.items()
    }
    assert written == expected


def test_every_metric_of_an_alarm_exists():
    alarms = section(ROOT / "docs" / "operations.md", "Metrics").partition("```yaml")[2]
    names = {f"{name}_total" if family.kind == "counter" else name for name, family in FAMILIES.items()}

    used = set(re.findall(r"insights_\w+", alarms)) - {"insights_gateway"}
    assert len(used) >= 6
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in used} <= names


def test_requests_are_counted_by_pattern_status_and_cache(client, wire):
    wire.add(responses.GET, REPORT, json={"posts": {"total": 1}})
    for _ in range(3):
        client.get("/performance-data?url=nasa")
    client.get("/history/posts/17900000000000001")
    client.get("/history/posts/17900000000000002")
    client.get("/secretPATHofACALLER")
    client.head("/healthz")
    client.open("/healthz", method="BREW")

    found = samples(client)

    counted = of(found, "insights_requests_total")  # cache, method, route, status
    assert counted["miss", "GET", "/performance-data", "200"] == 1
    assert counted["hit", "GET", "/performance-data", "200"] == 2
    assert sum(value for labels, value in counted.items() if labels[2] == "/history/posts/<post_id>") == 2
    assert counted["none", "GET", "unmatched", "404"] == 1
    assert counted["none", "HEAD", "/healthz", "200"] == 1
    assert counted["none", "other", "unmatched", "405"] == 1
    assert not [labels for labels in found if "secretPATH" in str(labels) or "1790000" in str(labels)]
    durations = of(found, "insights_request_seconds_count")
    assert durations["/performance-data",] == 3
    assert of(found, "insights_request_seconds_bucket")["+Inf", "/performance-data"] == 3
    assert 0 < of(found, "insights_request_seconds_sum")["/performance-data",] < 30


def test_buckets_are_cumulative_and_a_duration_is_in_its_own(services, client):
    services.measurements.call("modash", "200", 0.0025)
    services.measurements.call("modash", "200", 0.2)
    services.measurements.call("modash", "200", 400.0)

    found = of(samples(client), "insights_provider_call_seconds_bucket")

    values = {bound: found[bound, "modash"] for bound in ("0.001", "0.0025", "0.1", "0.25", "30", "+Inf")}
    assert values == {"0.001": 0, "0.0025": 1, "0.1": 1, "0.25": 2, "30": 2, "+Inf": 3}


def test_provider_calls_are_counted_by_outcome_and_an_invented_status_is_no_series(client, wire):
    wire.add(responses.GET, REPORT, json={}, status=404)
    wire.add(responses.GET, REPORT, body=requests.ConnectionError("refused"))
    wire.add(responses.GET, REPORT, json={}, status=477)
    for creator in ("nasa", "esa", "jaxa"):
        client.get(f"/performance-data?url={creator}")

    calls = of(samples(client), "insights_provider_calls_total")

    assert calls == {("404", "modash"): 1, ("provider_unavailable", "modash"): 1, ("other", "modash"): 1}


def test_attempts_of_the_outgoing_webhook_are_counted_by_what_the_receiver_did(client, services):
    for outcome in ("204", "799", "provider_unavailable", "provider_timeout", "provider_response_invalid"):
        services.measurements.call("receiver", outcome, 0.1)

    attempts = of(samples(client), "insights_notification_attempts_total")

    expected = ("204", "other", "receiver_unreachable", "receiver_timeout", "receiver_failed")
    assert attempts == dict.fromkeys(zip(expected), 1)


def test_credits_are_shown_as_the_ledger_has_them(make_client, clock, wire):
    client = make_client(settings(modash_credit_limit=7.5), clock=clock)
    wire.add(responses.GET, REPORT, json={"posts": {"total": 1}})
    before = samples(client)
    client.get("/performance-data?url=nasa")
    clock.wait(6)

    found = samples(client)

    assert (before["insights_credits_spent",], found["insights_credits_spent",]) == (0, 0.25)
    assert found["insights_credits_limit",] == 7.5
    assert ("insights_credits_balance",) not in found


def test_the_state_of_background_work_is_shown(client, clock, services):
    store = services.store
    store.jobs.put("report", "nasa", due_at=clock.timestamp() - 120)
    store.jobs.put("report", "esa", due_at=clock.timestamp() + 120)
    store.workers.heartbeat("one", host="here", pid=1)
    denied = PermissionDeniedError("No permission.", provider="instagram")
    for kind in ("stories", "posts"):
        services.account_troubles.failed(ACCOUNT_ID, kind, denied)

    found = samples(client)

    jobs = of(found, "insights_jobs")
    assert jobs == {("waiting",): 2, ("running",): 0, ("late",): 1, ("given_up",): 0}
    assert found["insights_workers",] == 1
    assert found["insights_accounts_in_trouble",] == 1
    assert found["insights_build_info", "v25.0", "live", VERSION] == 1
    assert of(found, "insights_database_up") == {("memory",): 1, ("gateway",): 1}


def test_the_ends_of_tokens_are_shown_by_account(client, clock, services):
    now = clock.timestamp()
    row = TokenRow(ACCOUNT_ID, fingerprint(TOKEN), fingerprint(TOKEN), seen_at=now, written_at=now, checked_at=now)
    services.store.account_tokens.put(row._replace(expires_at=now + 5 * 86_400))
    soon = samples(client)
    clock.wait(6 * 86_400)
    ended = samples(client)

    assert of(soon, "insights_token_expires_in_seconds") == {(ACCOUNT_ID,): 5 * 86_400}
    assert of(ended, "insights_token_expires_in_seconds") == {(ACCOUNT_ID,): -86_400}
    assert [state for (state,), number in of(soon, "insights_tokens").items() if number] == ["expiring"]
    assert [state for (state,), number in of(ended, "insights_tokens").items() if number] == ["expired"]


def test_of_very_many_accounts_those_that_are_nearest_to_their_end_or_limit_are_shown(
    make_client, clock, wire, monkeypatch
):
    monkeypatch.setattr(state, "MAX_ACCOUNTS", 1)
    key, now, second = new_key(), clock.timestamp(), "17841400000000900"
    client = make_client(settings(token_key=key), clock=clock)
    store = client.application.extensions["services"].store
    sealed = TokenEncryption([key], learn=lambda _: None).seal("EAAtokenOFaccount")
    store.accounts.put(AccountRow(second, "", "facebook", "", sealed, now))
    for account, token, days in ((ACCOUNT_ID, TOKEN, 5), (second, "EAAtokenOFaccount", 2)):
        mine = fingerprint(token)
        row = TokenRow(account, mine, mine, seen_at=now, written_at=now, expires_at=now + days * 86_400)
        store.account_tokens.put(row)
    usage = {"X-App-Usage": '{"call_count": 40, "total_cputime": 1, "total_time": 1}'}
    usage |= {"X-Business-Use-Case-Usage": f'{{"{ACCOUNT_ID}": [{{"type": "instagram", "call_count": 62}}]}}'}
    wire.add(responses.GET, re.compile(f"{GRAPH}/.*"), json={"data": []}, headers=usage)
    client.get(f"/top-posts?time_range=7d&account={ACCOUNT_ID}")

    found = samples(client)

    assert of(found, "insights_token_expires_in_seconds") == {(second,): 2 * 86_400}
    assert of(found, "insights_quota_used_ratio").keys() == {(ACCOUNT_ID, "instagram")}


def test_a_token_that_is_refused_or_not_inspected_or_not_decrypted_is_counted_as_that(make_client, clock):
    key, now = new_key(), clock.timestamp()
    client = make_client(settings(token_key=key), clock=clock)
    services = client.application.extensions["services"]
    for number, sealed_with in enumerate((key, new_key())):
        sealed = TokenEncryption([sealed_with], learn=lambda _: None).seal("EAAtokenOFaccount")
        services.store.accounts.put(AccountRow(f"178414000000009{number}0", "", "facebook", "", sealed, now))
    row = TokenRow(ACCOUNT_ID, fingerprint(TOKEN), fingerprint(TOKEN), seen_at=now, written_at=now, checked_at=now)
    services.store.account_tokens.put(row._replace(expires_at=now + 5 * 86_400))
    services.accounts.find(ACCOUNT_ID)
    error = TokenInvalidError("No.", provider="instagram", reason="app_removed")
    error.reached = True
    services.token_refresh._tokens.failed(services.accounts.find(ACCOUNT_ID), error)

    found = samples(client)

    states = {state: number for (state,), number in of(found, "insights_tokens").items() if number}
    assert states == {"invalid": 1, "unknown": 1, "not_decrypted": 1}
    assert of(found, "insights_token_expires_in_seconds") == {(ACCOUNT_ID,): 0}


def test_a_key_with_a_list_of_accounts_gets_no_number_that_counts_others(make_client, clock):
    client = make_client(settings(allow_anonymous=False), clock=clock)
    services = client.application.extensions["services"]
    denied = PermissionDeniedError("No permission.", provider="instagram")
    for account in (ACCOUNT_ID, "17841400000000777"):
        services.account_troubles.failed(account, "stories of account", denied)
    own, other, all_ = (
        bearer(add_key(services.store, scope="admin", **more)[1])
        for more in ({"accounts": (ACCOUNT_ID,)}, {"accounts": ("17841400000000999",)}, {})
    )

    found = {name: samples(client, headers=headers) for name, headers in (("own", own), ("other", other), ("", all_))}

    numbers = {
        name: (sum(of(each, "insights_tokens").values()), of(each, "insights_accounts_in_trouble")[()])
        for name, each in found.items()
    }
    assert numbers == {"own": (1, 1), "other": (0, 0), "": (1, 2)}
    hidden = ("insights_credits_spent", "insights_credits_limit", "insights_accounts_paused")
    assert [bool(of(found["own"], name)) for name in hidden] == [False] * 3
    assert [is_visible(Sample(metric_families.CREDITS_BALANCE, (), 1.0), accounts) for accounts in ({"1"}, None)] == [
        False,
        True,
    ]
    assert of(found[""], "insights_credits_limit")


def test_a_limit_of_the_whole_app_concerns_each_account_and_a_token_without_an_account_none():
    shown = [
        is_visible(Sample(family, labels, 1.0), {"1"})
        for family, labels in (
            (metric_families.QUOTA_USED, ("instagram", "")),
            (metric_families.QUOTA_USED, ("instagram", "2")),
            (metric_families.TOKEN_EXPIRES, ("",)),
            (metric_families.TOKEN_EXPIRES, ("1",)),
        )
    ]

    assert shown == [True, False, False, True]


def test_what_the_database_gives_is_read_every_five_seconds_at_most(client, clock, services):
    waiting = []
    for _ in range(3):
        waiting.append(of(samples(client), "insights_jobs")["waiting",])
        services.store.jobs.put("report", f"creator{len(waiting)}", due_at=clock.timestamp())
        clock.wait(2.6)

    assert waiting == [0, 0, 2]


def test_an_open_breaker_and_a_paused_account_are_shown(client, wire):
    wire.add(responses.GET, re.compile(f"{GRAPH}/.*"), json=graph_error(190), status=400)
    client.get("/top-posts?time_range=7d")

    paused = samples(client)
    wire.reset()
    wire.add(responses.GET, REPORT, json={}, status=503)
    for number in range(10):
        client.get(f"/performance-data?url=creator{number}")
    found = samples(client)

    assert of(paused, "insights_accounts_paused")["instagram",] == 1
    assert of(paused, "insights_breaker_state") == {("instagram",): 0, ("modash",): 0}
    assert of(found, "insights_breaker_state")["modash",] == 2


def test_used_quota_is_a_ratio_by_account_that_the_caller_may_see(make_client, clock, wire):
    client = make_client(settings(allow_anonymous=False), clock=clock)
    usage = {"X-App-Usage": '{"call_count": 40, "total_cputime": 1, "total_time": 1}'}
    usage |= {"X-Business-Use-Case-Usage": f'{{"{ACCOUNT_ID}": [{{"type": "instagram", "call_count": 62}}]}}'}
    wire.add(responses.GET, re.compile(f"{GRAPH}/.*"), json={"data": []}, headers=usage)
    services = client.application.extensions["services"]
    all_, some = (
        bearer(add_key(services.store, scope="admin", **more)[1]) for more in ({}, {"accounts": ("17841400000000999",)})
    )
    client.get("/top-posts?time_range=7d", headers=all_)

    quota = of(samples(client, headers=all_), "insights_quota_used_ratio")

    assert quota[ACCOUNT_ID, "instagram"] == pytest.approx(0.62)
    assert of(samples(client, headers=some), "insights_quota_used_ratio").keys() <= {("", "instagram")}


def test_only_the_scope_admin_gets_it(make_client):
    client = make_client(settings(allow_anonymous=False))
    store = client.application.extensions["services"].store
    keys = {scope: bearer(add_key(store, scope=scope)[1]) for scope in ("read", "refresh", "admin")}

    statuses = {scope: client.get("/metrics", headers=headers).status_code for scope, headers in keys.items()}

    assert client.get("/metrics").status_code == 401
    assert statuses == {"read": 403, "refresh": 403, "admin": 200}


def test_the_format_is_that_of_prometheus_and_is_never_kept(client):
    response = client.get("/metrics")

    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_data(as_text=True).endswith("\n")


def test_without_the_database_it_answers_what_is_known_and_loses_no_count(client, clock, services, monkeypatch):
    client.get("/healthz")
    before = samples(client)
    clock.wait(6)
    with monkeypatch.context() as broken:
        for database in services.store.databases:
            broken.setattr(database, "_connections", NoConnections())
        client.get("/healthz")
        meanwhile = samples(client)
    clock.wait(6)
    after = samples(client)

    counts = [
        of(found, "insights_requests_total")["none", "GET", "/healthz", "200"] for found in (before, meanwhile, after)
    ]
    assert counts == [1, 1, 2]
    assert of(meanwhile, "insights_database_up") == {("memory",): 0, ("gateway",): 0}
    assert ("insights_workers",) not in meanwhile
    assert ("insights_credits_limit",) in meanwhile


def test_measurements_that_no_heartbeat_collects_are_bounded(services):
    for _ in range(25_000):
        services.measurements.request("GET", "/healthz", "200", "none", 0.0)

    assert len(services.measurements._pending) < 10_000
    assert services.measurements.drain()["insights_requests", ("GET", "/healthz", "200", "none")] == 25_000


@pytest.mark.parametrize(
    "labels", ['["GET"]', "[1, 2, 3, 4]", "[[1], 2, 3, 4]", '["\\ud800", "/x", "200", "hit"]', "[]", "{", "7"]
)
def test_a_damaged_count_does_not_take_the_others_with_it(client, services, labels):
    client.get("/healthz")
    with services.store.databases[0].write() as connection:
        for family in ("insights_requests", "insights_provider_call_seconds", "of another program"):
            row = {"family": family, "labels": labels}
            connection.execute(text("INSERT INTO counters VALUES ('live', :family, :labels, 1)"), row)

    assert of(samples(client), "insights_requests_total")["none", "GET", "/healthz", "200"] == 1


@pytest.mark.parametrize(
    "content",
    [
        '{"insights_response_cache_bytes": "x", "insights_breaker_state modash": "x"}',
        '{"insights_response_cache_bytes": 1%s}' % ("0" * 400),
        '{"insights_response_cache_bytes": NaN, "insights_breaker_state \\ud800": 1}',
        '{"of another program": 1, "insights_jobs x": 1}',
        "[]",
        "{",
    ],
)
def test_damaged_values_of_a_process_do_not_take_those_of_the_others_with_them(make_client, clock, content):
    client = make_client(settings(allow_anonymous=False), clock=clock)
    store = client.application.extensions["services"].store
    store.counters.write_gauges("sound", {"insights_response_cache_bytes": 7e6, "insights_breaker_state modash": 2})
    store.counters.write_gauges("damaged", {})
    with store.databases[0].write() as connection:
        statement = text("UPDATE process_gauges SET content = :content WHERE process = 'damaged'")
        connection.execute(statement, {"content": content})

    for more in ({}, {"accounts": (ACCOUNT_ID,)}):
        found = samples(client, headers=bearer(add_key(store, scope="admin", **more)[1]))
        assert found["insights_response_cache_bytes",] >= 7e6
        assert found["insights_breaker_state", "modash"] == 2
