"""What raises an event: a report that was waited for, and an account that needs a person."""

from __future__ import annotations

import re

import pytest
import responses

from services.accounts.needed_permissions import OF_FACEBOOK
from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.background.job_schedule import BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF
from services.errors import PermissionDeniedError, ProviderRateLimitedError, ProviderUnavailableError
from services.notifications.troubles import AccountTroubles
from tests.stores import query
from tests.support import ACCOUNT_ID, GRAPH, MODASH, add_key, bearer, graph_error, new_instance, settings

REPORT = f"{MODASH}/v1/instagram/performance-data"
FOUND = {"posts": {"total": 6, "engagement_rate": [{"numberOfItems": 6, "value": 1.5}]}, "reels": {}}
LATER = {"status": "retry_later"}
EMPTY = {"id": ACCOUNT_ID, "username": "bakery", "data": [], "media": {"data": []}}
EVERY_CALL = re.compile(f"{GRAPH}/.*")


class Gateway:
    """A gateway with a receiver, whose jobs a test runs."""

    def __init__(self, client, clock, receiver):
        self.client, self.clock, self.receiver = client, clock, receiver
        self.services = client.application.extensions["services"]
        self.runner = Runner(self.services.store, handlers(self.services, clock), clock)

    def work(self, *kinds):
        claimed = self.runner.claim("we", 20)
        for job in claimed:
            if not kinds or job.kind in kinds:
                self.runner.run(job)

    def deliver(self):
        """Return the events that have been put since."""
        already = len(self.receiver.events)
        self.services.notification_delivery.run(seconds=5)
        return [(event["type"], event["data"]) for event in self.receiver.events[already:]]


def instance_of(gateway):
    return gateway.client.application.extensions["config"].instance_path


@pytest.fixture
def make_gateway(make_client, clock, receiver, wire):
    wire.add_passthru(receiver.url)
    receiver.now = clock.timestamp

    def make(**more):
        options = {name.lower(): value for name, value in receiver.settings.items()} | more
        return Gateway(make_client(settings(**options), clock=clock), clock, receiver)

    return make


@pytest.fixture
def gateway(make_gateway):
    return make_gateway()


def report(wire, *answers):
    """Let Modash give these answers one after another."""
    for answer in answers:
        body, status = answer if isinstance(answer, tuple) else (answer, 200)
        wire.add(responses.GET, REPORT, json=body, status=status)


def follow_up(gateway, times):
    for _ in range(times):
        gateway.clock.wait(3600)
        gateway.work("report")


def test_a_report_that_was_waited_for_is_announced_when_it_is_kept(wire, gateway):
    report(wire, LATER, LATER, FOUND)
    assert gateway.client.get("/performance-data?url=nasa").status_code == 202
    at_first = gateway.deliver()

    follow_up(gateway, 1)
    still = gateway.deliver()
    follow_up(gateway, 1)

    assert (at_first, still) == ([], [])
    assert gateway.deliver() == [("report.ready", {"creator": "nasa"})]
    assert gateway.client.get("/performance-data?url=nasa").headers["X-Provider-Calls"] == "0"


def test_a_report_that_came_at_once_is_no_event(wire, gateway):
    report(wire, FOUND)

    assert gateway.client.get("/performance-data?url=nasa").status_code == 200

    assert gateway.deliver() == []


def test_a_report_is_announced_as_failed_once_after_its_last_attempt(wire, gateway):
    wire.add(responses.GET, REPORT, json=LATER)
    gateway.client.get("/performance-data?url=nasa")

    follow_up(gateway, 8)

    failed = {"creator": "nasa", "code": "report_not_ready", "attempts": 4}
    assert gateway.deliver() == [("report.failed", failed)]
    gateway.clock.wait(3600)
    wire.replace(responses.GET, REPORT, json={"error": True, "code": "account_not_found"}, status=404)
    assert gateway.client.get("/performance-data?url=nasa").status_code == 404
    assert gateway.deliver() == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (({"error": True, "code": "account_not_found", "message": "invented"}, 404), "account_not_found"),
        ((responses.ConnectionError(), 0), "provider_unavailable"),
    ],
    ids=["unknown creator", "no answer"],
)
def test_a_report_is_announced_as_failed_where_no_further_attempt_follows(wire, gateway, answer, code):
    report(wire, LATER)
    gateway.client.get("/performance-data?url=nasa")
    body, status = answer
    wire.add(responses.GET, REPORT, **({"json": body, "status": status} if status else {"body": body}))

    follow_up(gateway, 6)

    ((event, data),) = gateway.deliver()
    assert (event, data["creator"], data["code"]) == ("report.failed", "nasa", code)


def test_a_report_is_announced_as_failed_where_the_last_attempt_finds_no_creator(wire, make_gateway):
    gateway = make_gateway(modash_max_retries=1)
    report(wire, LATER, ({"error": True, "code": "account_not_found"}, 404))
    gateway.client.get("/performance-data?url=nasa")

    follow_up(gateway, 2)

    failed = {"creator": "nasa", "code": "account_not_found", "attempts": 1}
    assert gateway.deliver() == [("report.failed", failed)]


def test_a_report_is_announced_as_failed_where_the_credits_of_the_month_are_spent(wire, make_gateway):
    place = new_instance()
    report(wire, LATER)
    make_gateway(instance_path=place).client.get("/performance-data?url=nasa")
    gateway = make_gateway(instance_path=place, modash_credit_limit=0.0)

    follow_up(gateway, 6)

    assert gateway.deliver() == [
        ("report.failed", {"creator": "nasa", "code": "credit_limit_reached", "attempts": 1}),
    ]


def test_a_report_is_announced_as_failed_where_the_key_that_caused_it_was_revoked(wire, gateway):
    report(wire, LATER)
    key, text = add_key(gateway.services.store)
    gateway.client.get("/performance-data?url=nasa", headers=bearer(text))
    gateway.services.store.api_keys.revoke(key, 0.0)

    follow_up(gateway, 2)

    assert gateway.deliver() == [("report.failed", {"creator": "nasa", "code": "unauthorized", "attempts": 1})]
    assert gateway.services.store.ledger.record("modash", "nasa").pending is None


def test_only_the_chosen_events_are_announced(wire, make_gateway):
    gateway = make_gateway(notify_events=("report.failed",))
    report(wire, LATER, FOUND)
    gateway.client.get("/performance-data?url=nasa")

    follow_up(gateway, 1)

    assert gateway.deliver() == []


def test_without_a_receiver_no_event_is_kept(make_gateway, wire):
    gateway = make_gateway(notify_url="", notify_secret="")
    report(wire, LATER, FOUND)
    gateway.client.get("/performance-data?url=nasa")

    follow_up(gateway, 1)

    assert gateway.services.notification_delivery is None
    assert gateway.services.store.notifications.counts() == (0, 0)
    assert "notifications" not in handlers(gateway.services, gateway.clock)
    gateway.runner.put_recurring()
    keys = gateway.services.store.jobs.keys
    assert (keys("notifications"), keys("sweep")) == (set(), {""})  # A job without a handler would be late for ever.


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(graph_error(200), 403, "permission_denied"), (graph_error(368), 400, "provider_blocked")],
    ids=["permission", "block"],
)
def test_an_account_that_needs_a_person_is_announced_once_and_again_when_it_works(wire, gateway, error, status, code):
    for kind in (STORIES_OF, POSTS_OF, SNAPSHOT_OF):
        gateway.services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    refused = [wire.add(method, re.compile(f"{GRAPH}/.*"), json=error, status=status) for method in ("GET", "POST")]
    gateway.work(STORIES_OF)
    first = gateway.deliver()

    gateway.clock.wait(3600)
    gateway.work(STORIES_OF)
    second = gateway.deliver()
    for each in refused:
        wire.remove(each)
    wire.add(responses.GET, f"{GRAPH}/v25.0/{ACCOUNT_ID}/stories", json={"data": []})
    gateway.clock.wait(24 * 3600)
    gateway.work(STORIES_OF)
    third = gateway.deliver()

    ((event, data),) = first
    assert (event, data["account"], data["code"]) == ("account.trouble", ACCOUNT_ID, code)
    assert data["message"]
    assert data["next_step"]
    assert second == []
    assert third == [("account.recovered", {"account": ACCOUNT_ID})]


@pytest.mark.parametrize("kind", [BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF])
def test_every_kind_of_read_that_lacks_a_permission_announces_it_and_logs_the_account(wire, gateway, caplog, kind):
    gateway.services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    wire.assert_all_requests_are_fired = False  # Only some kinds of reads are a POST.
    for method in ("GET", "POST"):
        wire.add(method, re.compile(f"{GRAPH}/.*"), json=graph_error(200), status=403)

    gateway.work(kind)

    assert [(event, data["account"]) for event, data in gateway.deliver()] == [("account.trouble", ACCOUNT_ID)]
    assert {record.account for record in caplog.records if hasattr(record, "next_step")} == {ACCOUNT_ID}


@pytest.mark.parametrize("kind", [BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF])
def test_every_kind_of_read_that_works_ends_its_trouble(wire, make_gateway, kind):
    gateway = make_gateway(backfill_days=0)
    gateway.services.account_troubles.failed(ACCOUNT_ID, kind, PermissionDeniedError("No.", provider="instagram"))
    gateway.services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    wire.assert_all_requests_are_fired = False  # Each kind makes other calls, and some make none.
    wire.get(f"{GRAPH}/v25.0/debug_token", json={"data": {"is_valid": True, "expires_at": 0}})
    for method in ("GET", "POST"):
        wire.add(method, re.compile(f"{GRAPH}/.*"), json={"id": ACCOUNT_ID, "username": "bakery", "data": []})
    gateway.deliver()

    gateway.work(kind)

    assert gateway.deliver() == [("account.recovered", {"account": ACCOUNT_ID})]
    assert gateway.services.snapshots.progress()["backfill"]["accounts"] == 0


def test_the_end_of_a_token_and_its_refusal_are_announced_once_each(wire, gateway):
    ends = gateway.clock.timestamp() + 5.5 * 86_400
    expiring = {"is_valid": True, "expires_at": int(ends), "scopes": OF_FACEBOOK}
    refused = {"is_valid": False, "error": {"code": 190, "subcode": 460, "message": "invented"}}
    found = []
    for data in (expiring, refused):
        wire.upsert("GET", f"{GRAPH}/v25.0/debug_token", json={"data": data})
        for _ in range(2):
            gateway.services.token_refresh.check(ACCOUNT_ID)
            found.append(gateway.deliver())

    steps = [data.pop("next_step") for events in found for _, data in events]
    about_the_end = {"account": ACCOUNT_ID, "days_left": 6, "expires_at": "2026-06-21T06:00:00Z"}
    assert found == [
        [("token.expiring", about_the_end | {"reason": "expires_soon"})],
        [],
        [("token.dead", {"account": ACCOUNT_ID, "code": "token_invalid", "reason": "password_changed"})],
        [],
    ]
    assert all("set ACCESS_LONG_LIVED_TOKEN to it" in step for step in steps)


def test_a_refused_token_that_could_not_be_announced_is_announced_by_the_next_process(wire, make_gateway):
    store = {"INSTANCE_PATH": new_instance()}
    first, second = (make_gateway(instance_path=store["INSTANCE_PATH"]) for _ in range(2))
    wire.get(f"{GRAPH}/v25.0/debug_token", json={"data": {"is_valid": False, "error": {"code": 190, "subcode": 460}}})
    refuse = "CREATE TRIGGER refuse BEFORE INSERT ON notifications BEGIN SELECT RAISE(ABORT, 'refused'); END"
    query(store, "gateway", refuse)
    first.services.token_refresh.check(ACCOUNT_ID)
    query(store, "gateway", "DROP TRIGGER refuse")

    second.services.token_refresh.check(ACCOUNT_ID)

    assert [event for event, _ in second.deliver()] == ["token.dead"]


def test_an_account_is_in_trouble_until_every_kind_of_its_reads_works(gateway):
    troubles = gateway.services.account_troubles
    denied = PermissionDeniedError("No permission.", provider="instagram")
    down = ProviderUnavailableError("Down.", provider="instagram")

    troubles.failed(ACCOUNT_ID, STORIES_OF, down)
    troubles.failed(ACCOUNT_ID, STORIES_OF, denied)
    troubles.failed(ACCOUNT_ID, POSTS_OF, denied)
    troubles.worked(ACCOUNT_ID, STORIES_OF)
    troubles.worked(ACCOUNT_ID, SNAPSHOT_OF)
    before = [(event, data["code"]) for event, data in gateway.deliver()]
    troubles.worked(ACCOUNT_ID, POSTS_OF)

    assert before == [("account.trouble", "permission_denied")]
    assert [event for event, _ in gateway.deliver()] == ["account.recovered"]

    troubles.failed(ACCOUNT_ID, POSTS_OF, denied)
    assert [event for event, _ in gateway.deliver()] == ["account.trouble"]


def answer(wire, body, status=200):
    """Let Instagram give one answer to all calls; return how many there are so far."""
    wire.assert_all_requests_are_fired = False
    for method in ("GET", "POST"):
        wire.upsert(method, EVERY_CALL, json=body, status=status)
    return lambda: sum(call.request.url.startswith(GRAPH) for call in wire.calls)


def work_for(gateway, hours, *kinds):
    """Run jobs every half minute; return the events."""
    events = []
    for _ in range(hours * 120):
        gateway.work(*kinds)
        events += [event for event, _ in gateway.deliver()]
        gateway.clock.wait(30)
    return events


@pytest.mark.parametrize("kind", [POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF])
def test_a_trouble_that_lasts_is_announced_once_and_read_later_and_later(wire, gateway, kind):
    gateway.services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    calls = answer(wire, graph_error(200), 403)

    events = work_for(gateway, 6, kind)

    assert events == ["account.trouble"]
    assert 2 < calls() < 40


@pytest.mark.parametrize("kind", [POSTS_OF, STORIES_OF])
def test_a_read_that_fails_for_a_permission_is_announced_also_where_an_earlier_answer_is_known(wire, gateway, kind):
    gateway.services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    answer(wire, EMPTY)
    before = work_for(gateway, 1, kind)
    calls = answer(wire, graph_error(200), 403)
    first = calls()
    during = work_for(gateway, 6, kind)
    last = calls()
    answer(wire, EMPTY)

    assert (before, during) == ([], ["account.trouble"])
    assert 2 < last - first < 40
    assert work_for(gateway, 2, kind) == ["account.recovered"]


def test_stories_that_a_look_has_brought_end_their_trouble(wire, gateway):
    jobs = gateway.services.store.jobs
    jobs.put(STORIES_OF, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    answer(wire, graph_error(200), 403)
    gateway.work(STORIES_OF)
    before = [event for event, _ in gateway.deliver()]
    gateway.clock.wait(30)
    jobs.put(POSTS_OF, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    calls = answer(wire, EMPTY | {"stories": {"data": []}})
    gateway.work(POSTS_OF)
    looked = calls()
    gateway.clock.wait(60)

    gateway.work(STORIES_OF)

    assert before == ["account.trouble"]
    assert calls() == looked
    assert [event for event, _ in gateway.deliver()] == ["account.recovered"]


@pytest.mark.parametrize("kind", [BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF])
def test_a_pause_for_the_quota_ends_no_trouble(wire, gateway, monkeypatch, kind):
    services = gateway.services
    for each in (services.post_polling, services.story_polling, services.snapshots):
        monkeypatch.setattr(each, "_may_work", lambda _account: False)
    gateway.clock.wait(12 * 3600)
    services.account_troubles.failed(ACCOUNT_ID, kind, PermissionDeniedError("No.", provider="instagram"))
    services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    calls = answer(wire, EMPTY)

    gateway.work(kind)

    assert [event for event, _ in gateway.deliver()] == ["account.trouble"]
    assert calls() == 0


def test_a_snapshot_that_is_not_due_ends_no_trouble_and_is_no_attempt(wire, gateway):
    services, jobs = gateway.services, gateway.services.store.jobs
    answer(wire, EMPTY)
    services.snapshots._tables.snapshots.complete(ACCOUNT_ID, day="2999-01-01", taken_at=gateway.clock.timestamp())
    services.account_troubles.failed(ACCOUNT_ID, SNAPSHOT_OF, PermissionDeniedError("No.", provider="instagram"))
    jobs.put(SNAPSHOT_OF, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    (job,) = [job for job in gateway.runner.claim("we", 20) if job.kind == SNAPSHOT_OF]
    jobs.reschedule(job, gateway.clock.timestamp())

    gateway.work(SNAPSHOT_OF)

    assert [event for event, _ in gateway.deliver()] == ["account.trouble"]
    gateway.clock.wait(2 * 86_400)
    assert [job.attempts for job in gateway.runner.claim("we", 20) if job.kind == SNAPSHOT_OF] == [2]


def test_a_token_that_dies_ends_no_trouble(wire, gateway):
    gateway.services.store.jobs.put(TOKEN_OF, ACCOUNT_ID, due_at=gateway.clock.timestamp())
    answer(wire, graph_error(200), 403)
    gateway.work(TOKEN_OF)
    before = [event for event, _ in gateway.deliver()]
    gateway.clock.wait(3600)
    refused = {"is_valid": False, "error": {"code": 190, "subcode": 460, "message": "invented"}}
    answer(wire, {"data": refused})

    gateway.work(TOKEN_OF)

    assert (before, [event for event, _ in gateway.deliver()]) == (["account.trouble"], ["token.dead"])


@pytest.mark.parametrize("kind", [BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF])
def test_the_job_of_the_last_account_ends_with_it(make_gateway, kind):
    gateway = make_gateway(access_long_lived_token="", instagram_account_id="", page_id="")
    gateway.services.store.jobs.put(kind, ACCOUNT_ID, due_at=gateway.clock.timestamp())

    gateway.work(kind)

    assert gateway.services.store.jobs.keys(kind) == set()


@pytest.mark.parametrize("kind", [POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF])
def test_no_job_of_an_account_is_tried_again_before_the_time_that_instagram_asked_for(wire, gateway, kind):
    wire.assert_all_requests_are_fired = False
    for method in ("GET", "POST"):
        wire.add(method, re.compile(f"{GRAPH}/.*"), json=graph_error(4), status=400, headers={"Retry-After": "7200"})

    again = handlers(gateway.services, gateway.clock)[kind](ACCOUNT_ID, {}, 1)

    assert (again.seconds, again.reset_attempts) == (pytest.approx(7200, abs=5), False)


@pytest.mark.parametrize(("seconds", "retry_after", "expected"), [(5, None, 120), (300, None, 300), (300, 900, 900)])
def test_stories_are_read_again_before_one_ends_but_neither_at_once_nor_against_a_throttle(
    gateway, monkeypatch, seconds, retry_after, expected
):
    polling = gateway.services.story_polling
    error = ProviderRateLimitedError("Too many.", provider="instagram", retry_after=retry_after)

    def fail(_account):
        raise error

    monkeypatch.setattr(polling, "read", fail)
    monkeypatch.setattr(polling, "next_last_moment", lambda _account: gateway.clock.timestamp() + seconds)

    again = handlers(gateway.services, gateway.clock)[STORIES_OF](ACCOUNT_ID, {}, 9)

    assert again.seconds == pytest.approx(expected)


@pytest.mark.parametrize("kind", [BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF, TOKEN_OF])
def test_the_trouble_of_an_account_ends_with_it_whichever_job_finds_it_gone(wire, gateway, kind):
    wire.get(f"{GRAPH}/v25.0/{ACCOUNT_ID}", json={"id": ACCOUNT_ID, "username": "bakery"})
    gone, jobs = "17841400000000099", gateway.services.store.jobs
    denied = PermissionDeniedError("No permission.", provider="instagram")
    gateway.services.account_troubles.failed(gone, kind, denied)
    jobs.put(kind, gone, due_at=gateway.clock.timestamp())

    gateway.work(kind)

    assert gateway.services.store.account_troubles.known() == set()
    assert jobs.keys(kind) == set()


def test_an_account_that_is_removed_and_added_again_is_announced_again(gateway):
    troubles = gateway.services.account_troubles
    denied = PermissionDeniedError("No permission.", provider="instagram")

    troubles.failed(ACCOUNT_ID, STORIES_OF, denied)
    troubles.removed(ACCOUNT_ID)
    troubles.failed(ACCOUNT_ID, STORIES_OF, denied)

    assert [event for event, _ in gateway.deliver()] == ["account.trouble"] * 2


def test_the_sweep_deletes_events_and_deliveries_that_are_over(wire, gateway):
    store = gateway.services.store
    report(wire, LATER, FOUND)
    gateway.client.get("/performance-data?url=nasa")
    follow_up(gateway, 1)
    store.webhooks.keep(b"{}", signed_by="facebook", received_at=gateway.clock.timestamp())
    gateway.services.webhook_application.run(seconds=1)
    assert len(gateway.deliver()) == 1

    gateway.clock.wait(8 * 86_400)
    again = handlers(gateway.services, gateway.clock)["sweep"]("", {}, 1)

    config = {"INSTANCE_PATH": instance_of(gateway)}
    for table in ("notifications", "webhook_deliveries"):
        assert query(config, "gateway", f"SELECT count(*) FROM {table}") == [(0,)]
    assert (again.seconds, again.reset_attempts) == (600.0, True)


def test_an_event_without_a_receiver_waits_for_thirty_days_and_is_then_given_up(make_gateway, caplog):
    troubled = PermissionDeniedError("No permission.", provider="instagram")
    gateway = make_gateway()
    gateway.services.account_troubles.failed(ACCOUNT_ID, STORIES_OF, troubled)
    without = make_gateway(notify_url="", notify_secret="", instance_path=instance_of(gateway))
    table = without.services.store.notifications
    counts = []

    for days in (29, 2, 29, 2):
        gateway.clock.wait(days * 86_400)
        handlers(without.services, gateway.clock)["sweep"]("", {}, 1)
        counts.append((*table.counts(), *(event.failure for event in table.listed(1))))

    assert counts == [(1, 0, None), (0, 1, "no_receiver"), (0, 1, "no_receiver"), (0, 0)]
    assert [each.n for each in caplog.records if "NOTIFY_URL is not set" in each.message] == [1]


def test_an_overdue_event_is_delivered_where_there_is_a_receiver(gateway):
    troubled = PermissionDeniedError("No permission.", provider="instagram")
    gateway.services.account_troubles.failed(ACCOUNT_ID, STORIES_OF, troubled)

    gateway.clock.wait(31 * 86_400)
    handlers(gateway.services, gateway.clock)["sweep"]("", {}, 1)

    assert [event for event, _ in gateway.deliver()] == ["account.trouble"]


def test_the_trouble_that_another_process_has_noted_is_known_after_a_minute(gateway):
    table = gateway.services.store.account_troubles
    mine = gateway.services.account_troubles
    other = AccountTroubles(table, mine._notifications, clock=gateway.clock)
    mine.worked(ACCOUNT_ID, STORIES_OF)
    other.failed(ACCOUNT_ID, STORIES_OF, PermissionDeniedError("No permission.", provider="instagram"))

    known = []
    for _ in range(2):
        mine.worked(ACCOUNT_ID, STORIES_OF)
        known.append([event for event, _ in gateway.deliver()])
        gateway.clock.wait(60)

    assert known == [["account.trouble"], ["account.recovered"]]


def test_a_trouble_that_another_process_has_ended_is_announced_when_it_comes_again(gateway):
    mine = gateway.services.account_troubles
    other = AccountTroubles(gateway.services.store.account_troubles, mine._notifications, clock=gateway.clock)
    denied, found = PermissionDeniedError("No permission.", provider="instagram"), []

    for step in (lambda: mine.failed(ACCOUNT_ID, STORIES_OF, denied), lambda: other.worked(ACCOUNT_ID, STORIES_OF)) * 2:
        step()
        found += [event for event, _ in gateway.deliver()]
        gateway.clock.wait(60)

    assert found == ["account.trouble", "account.recovered"] * 2
