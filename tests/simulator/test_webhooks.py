"""Webhooks: the handshake, subscriptions, deliveries with their signatures, retries, and what they say of stories."""

import hashlib
import hmac
import json
import time

import pytest

from tests.simulator.caller import ACCOUNT, NOW, PAGE, PAGE_TOKEN, TOKEN, error
from tests.simulator.receiver import VERIFY_TOKEN, Receiver

APP, APP_SECRET, INSTAGRAM_APP_SECRET = "200000000000000", "sandbox-app-secret", "sandbox-instagram-app-secret"
SHA256, SHA1 = "X-Hub-Signature-256", "X-Hub-Signature"

DAY, HOUR = 86_400, 3_600
OLD_NAMES = {"media_id", "impressions", "reach", "taps_forward", "taps_back", "exits", "replies"}


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def hooked(caller, receiver):
    """A caller whose app has a callback, to which it sends when `/webhooks/run` is called."""
    register(caller, receiver)
    return caller


def register(caller, receiver, **options):
    given = {"callback_url": receiver.url, "verify_token": VERIFY_TOKEN, "sending": "call", **options}
    reply = caller.order("/webhooks", **given)
    assert reply.status_code == 200, reply.text
    return reply.json()


def send(caller, **order):
    reply = caller.order("/webhooks/send", **order)
    assert reply.status_code == 200, reply.text
    return reply.json()


def run(caller, **order):
    return caller.order("/webhooks/run", **order).json()


def subscribe(caller):
    page = next(each for each in caller.own("/accounts")["accounts"] if each["id"] == caller.account)
    reply = caller.session.post(
        f"{caller.simulator.url}/graph.facebook.com/v25.0/{page['page_id']}/subscribed_apps",
        params={"subscribed_fields": "feed", "access_token": page["page_token"]},
        timeout=5,
    )
    assert reply.json() == {"success": True}


def edge(caller, method, host, path, **parameters):
    address = f"{caller.simulator.url}/{host}/v25.0/{path}/subscribed_apps"
    return caller.session.request(method, address, params=parameters, timeout=5)


def changes_in(content):
    for entry in content["entry"]:
        for change in entry.get("changes", [entry]):
            yield entry["id"], change["field"], change["value"], entry["time"]


def received(receiver):
    return [change for content in receiver.contents for change in changes_in(content)]


def genuine(caller):
    return caller.own("/webhooks/changes")["changes"]


def is_signed(body, headers, secret):
    return headers.get(SHA256) == f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_handshake_comes_first(caller, receiver):
    registered = register(caller, receiver)

    [handshake] = receiver.handshakes
    assert handshake["hub.mode"] == "subscribe"
    assert handshake["hub.verify_token"] == VERIFY_TOKEN
    assert handshake["hub.challenge"].isdecimal()
    assert registered["callback_url"] == receiver.url
    assert VERIFY_TOKEN not in json.dumps(caller.own("/webhooks"))


def test_a_callback_that_fails_the_handshake_is_refused(caller, receiver):
    wrong = caller.order("/webhooks", callback_url=receiver.url, verify_token="another")
    away = caller.order("/webhooks", callback_url="http://127.0.0.1:9/", verify_token=VERIFY_TOKEN)

    assert (wrong.status_code, wrong.json()["error"]) == (
        400,
        "the callback URL or the verify token could not be validated: status 403",
    )
    assert away.status_code == 400
    assert caller.own("/webhooks")["callbacks"] == []
    assert caller.order("/webhooks/send", field="comments").status_code == 400


def test_a_callback_must_repeat_the_challenge_itself(caller):
    receiver = Receiver(challenge="1158201444")

    refused = caller.order("/webhooks", callback_url=receiver.url, verify_token=VERIFY_TOKEN)

    receiver.stop()
    assert (refused.status_code, caller.own("/webhooks")["callbacks"]) == (400, [])


@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_a_delivery_is_signed_with_the_secret_of_its_login(caller, receiver, login):
    register(caller, receiver, login=login)
    send(caller, login=login, field="comments", count=3)

    run(caller)

    [body], [headers] = receiver.bodies, receiver.headers
    secret, other = (APP_SECRET, INSTAGRAM_APP_SECRET)[:: 1 if login == "facebook" else -1]
    assert is_signed(body, headers, secret)
    assert not is_signed(body, headers, other)
    assert headers[SHA1] == f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}"


def test_a_body_is_written_as_meta_writes_it(hooked, receiver):
    text = "Crème brûlée 🥐 at https://a.example/"
    value = {"id": "17800000000000001", "text": text}
    send(hooked, changes=[{"account": ACCOUNT, "field": "comments", "value": value, "time": 1_700_000_000}])

    run(hooked)

    [body] = receiver.bodies
    assert body == (
        rb'{"object":"instagram","entry":[{"id":"17841400000000000","time":1700000000,"changes":[{"field":"comments",'
        rb'"value":{"id":"17800000000000001","text":"Cr\u00e8me br\u00fbl\u00e9e \ud83e\udd50 at '
        rb'https:\/\/a.example\/"}}]}]}'
    )
    assert json.loads(body)["entry"][0]["changes"][0]["value"]["text"] == text


@pytest.mark.parametrize("shape", ["changes", "entry", "mixed"])
def test_every_change_arrives_in_each_shape(hooked, receiver, shape):
    send(hooked, field="comments", count=30, shape=shape)
    run(hooked)

    entries = receiver.contents[0]["entry"]
    shapes = {"changes" if "changes" in entry else "entry" for entry in entries}
    assert shapes == ({"changes", "entry"} if shape == "mixed" else {shape})
    assert received(receiver) == [
        (change["account"], change["field"], change["value"], change["time"]) for change in genuine(hooked)
    ]


def test_changes_come_in_batches(hooked, receiver):
    send(hooked, field="mentions", count=2_500)
    run(hooked)

    assert [len(list(changes_in(content))) for content in receiver.contents] == [1000, 1000, 500]


@pytest.mark.parametrize("field", ["comments", "mentions", "live_comments", "hologram_reactions"])
def test_invented_changes_differ(hooked, receiver, field):
    send(hooked, field=field, count=50)
    send(hooked, field=field, count=50)
    run(hooked)

    values = [json.dumps(value) for _, _, value, _ in received(receiver)]
    assert len(set(values)) == 100


def test_a_comment_is_about_a_post_of_the_account(hooked, receiver):
    send(hooked, field="comments", count=5)
    run(hooked)

    for account, _, value, _ in received(receiver):
        assert account == ACCOUNT
        assert set(value) - {"parent_id"} == {"id", "text", "from", "media"}
        post = hooked.graph(f"/{value['media']['id']}", fields="media_product_type").json()
        assert post == value["media"]


def test_a_delivery_that_is_refused_is_sent_again_at_once_and_then_ever_later(hooked, receiver):
    receiver.statuses = [500, 404]
    send(hooked, field="comments")

    first = run(hooked)
    assert (first["sent"], first["waiting"], first["due"], first["confirmed_changes"]) == (2, 1, 0, 0)
    hooked.order("/clock", advance=59)
    assert run(hooked)["sent"] == 0
    hooked.order("/clock", advance=1)
    last = run(hooked)

    assert (last["sent"], last["waiting"], last["confirmed_changes"]) == (1, 0, 1)
    assert len(set(receiver.bodies)) == 1
    [delivery] = hooked.own("/webhooks/deliveries")["deliveries"]
    assert (delivery["statuses"], delivery["is_confirmed"], delivery["due"]) == ([500, 404, 200], True, None)


def test_a_delivery_is_dropped_after_36_hours(hooked, receiver):
    receiver.statuses = [503] * 100
    send(hooked, field="comments")
    waits = []
    run(hooked)
    while (due := hooked.own("/webhooks/deliveries")["deliveries"][0]["due"]) is not None:
        waits.append(due - hooked.own("/clock")["now"])
        hooked.order("/clock", advance=waits[-1])
        run(hooked)

    assert waits == sorted(waits)
    assert 30 * HOUR < sum(waits) <= 36 * HOUR
    assert (len(receiver.bodies), hooked.own("/webhooks")["dropped"]) == (10, 1)
    assert genuine(hooked)[0]["is_confirmed"] is False


def test_whatever_waits_can_be_sent_at_once(hooked, receiver):
    receiver.statuses = [503, 503]
    send(hooked, field="comments")
    run(hooked)

    assert run(hooked, hurry=True)["waiting"] == 0
    assert len(receiver.bodies) == 3


def test_a_callback_that_is_away_gets_the_delivery_later(hooked, receiver):
    send(hooked, field="comments")
    receiver.stop()
    run(hooked)
    again = Receiver()
    register(hooked, again)

    run(hooked, hurry=True)

    assert len(again.bodies) == 1
    assert hooked.own("/webhooks/deliveries")["deliveries"][0]["statuses"] == [None, None, 200]
    again.stop()


def test_duplicates_forgeries_and_disorder(hooked, receiver):
    receiver.statuses = []
    send(hooked, field="comments", count=300, batch=2, duplicates=0.3, forged=0.2, shuffle=True, shape="mixed")
    run(hooked)

    listed = hooked.own("/webhooks/deliveries")["deliveries"]
    duplicates = [each for each in listed if each["is_duplicate"]]
    forgeries = [each["forgery"] for each in listed if each["forgery"]]
    numbers = [number for each in listed if not each["is_duplicate"] for number in each["changes"]]
    assert sorted(numbers) == list(range(300))
    assert numbers != sorted(numbers)
    assert any(
        abs(first - second) > 1 for first, second in (each["changes"] for each in listed if len(each["changes"]) == 2)
    )
    assert 30 <= len(duplicates) <= 80
    assert 15 <= len(forgeries) <= 45
    assert len(set(forgeries)) >= 5
    assert len({each["number"] for each in duplicates if each["changes"]}) == len(duplicates)
    assert all(each["is_confirmed"] for each in listed if not each["forgery"])
    for body, headers, each in zip(receiver.bodies, receiver.headers, listed, strict=True):
        assert is_signed(body, headers, APP_SECRET) is (each["forgery"] is None)
        assert (b'"forged"' in body) is (each["forgery"] is not None)
    known = [json.dumps(change["value"]) for change in genuine(hooked)]
    for body, each in zip(receiver.bodies, listed, strict=True):
        values = [json.dumps(value) for _, _, value, _ in changes_in(json.loads(body))]
        assert all((value in known) is (each["forgery"] is None) for value in values)


def test_a_forged_delivery_is_never_sent_again(hooked, receiver):
    receiver.statuses = [401] * 100
    send(hooked, field="comments", forged=1)

    run(hooked)

    forged = next(each for each in hooked.own("/webhooks/deliveries")["deliveries"] if each["forgery"])
    assert (forged["statuses"], forged["changes"], forged["due"]) == ([401], [], None)


def test_deliveries_are_the_same_for_the_same_seed(hooked, receiver):
    bodies = []
    for _ in range(2):
        hooked.order("/reset")
        hooked.order("/clock", now=NOW)
        register(hooked, receiver)
        receiver.bodies.clear()
        send(hooked, field="comments", count=40, batch=3, duplicates=0.5, forged=0.5, shuffle=True)
        run(hooked)
        bodies.append(list(receiver.bodies))

    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"field": "comments", "batch": 1001}, "batch takes a whole number from 1 to 1000"),
        ({"field": "comments", "duplicates": 2}, "duplicates takes a number from 0 to 1"),
        ({"field": "comments", "shape": "flat"}, "shape takes one of changes, entry, mixed"),
        ({"field": "comments", "shuffle": 1}, "shuffle takes true or false"),
        ({"field": "comments", "nonsense": 1}, "unknown nonsense"),
        ({"field": "comments", "account": "17841499999999999"}, "no such account"),
        ({"field": "comments", "login": "other"}, "login takes one of facebook, instagram"),
        ({"field": "comments", "login": "instagram"}, "login instagram has no callback"),
        ({"changes": [], "count": 1}, "give either changes"),
        ({"changes": [{"account": "1", "field": "x", "value": 1}]}, "a change has the id of an account"),
        ({"changes": [{"account": ACCOUNT, "field": "x"}]}, "a change has account, field and value"),
    ],
)
def test_an_order_that_cannot_be_followed_is_refused(hooked, order, text):
    reply = hooked.order("/webhooks/send", **order)

    assert reply.status_code == 400
    assert reply.json()["error"].startswith(text)


@pytest.mark.parametrize("url", ["ftp://a.example/", "nonsense", "http://", "http://a.example:99999/", 1])
def test_an_address_that_is_none_is_refused(caller, url):
    assert caller.order("/webhooks", callback_url=url, verify_token="x").status_code == 400


def test_more_than_can_wait_is_refused_and_nothing_of_it_is_kept(hooked):
    reply = hooked.order("/webhooks/send", field="comments", count=20_001, batch=1)

    assert reply.status_code == 400
    assert "20000 deliveries can wait" in reply.json()["error"]
    assert hooked.own("/webhooks")["changes"] == 0


def test_a_page_is_subscribed_with_its_own_token(caller):
    no_fields = edge(caller, "POST", "graph.facebook.com", PAGE, access_token=PAGE_TOKEN)
    of_user = edge(caller, "POST", "graph.facebook.com", PAGE, access_token=TOKEN, subscribed_fields="feed")
    unknown = edge(caller, "POST", "graph.facebook.com", PAGE, access_token=PAGE_TOKEN, subscribed_fields="feed,moods")
    before = edge(caller, "GET", "graph.facebook.com", PAGE, access_token=PAGE_TOKEN).json()
    done = edge(caller, "POST", "graph.facebook.com", "me", access_token=PAGE_TOKEN, subscribed_fields="feed,mention")
    [app] = edge(caller, "GET", "graph.facebook.com", PAGE, access_token=PAGE_TOKEN).json()["data"]
    ended = edge(caller, "DELETE", "graph.facebook.com", PAGE, access_token=PAGE_TOKEN)
    after = edge(caller, "GET", "graph.facebook.com", PAGE, access_token=PAGE_TOKEN).json()

    assert (error(no_fields)["code"], error(of_user)["code"], error(unknown)["code"]) == (100, 210, 100)
    assert "subscribed_fields[1]" in error(unknown)["message"]
    assert (done.json(), ended.json()) == ({"success": True}, {"success": True})
    assert (app["id"], app["subscribed_fields"]) == ("200000000000000", ["feed", "mention"])
    assert before == after == {"data": []}


def test_the_page_of_another_account_and_an_account_cannot_be_subscribed_by_a_facebook_login(caller):
    for path in ("100000001000000", ACCOUNT):
        reply = edge(caller, "POST", "graph.facebook.com", path, access_token=PAGE_TOKEN, subscribed_fields="feed")

        assert (error(reply)["code"], error(reply)["error_subcode"]) == (100, 33)


def test_an_account_is_subscribed_by_its_instagram_login(caller):
    token = {"access_token": caller.instagram_token}
    unknown = edge(caller, "POST", "graph.instagram.com", "me", **token, subscribed_fields="feed")
    done = edge(caller, "POST", "graph.instagram.com", "me", **token, subscribed_fields="comments,story_insights")
    [app] = edge(caller, "GET", "graph.instagram.com", ACCOUNT, **token).json()["data"]
    ended = edge(caller, "DELETE", "graph.instagram.com", "me", **token)

    assert error(unknown)["code"] == 100
    assert done.json() == ended.json() == {"success": True}
    assert app == {"id": "200000000000001", "subscribed_fields": ["comments", "story_insights"]}
    assert edge(caller, "GET", "graph.instagram.com", "me", **token).json() == {"data": []}


def ended(story):
    return time.mktime(time.strptime(story["expires"], "%Y-%m-%dT%H:%M:%S+0000")) - time.timezone


def app_edge(caller, method, **parameters):
    given = {"access_token": f"{APP}|{APP_SECRET}", **parameters}
    address = f"{caller.simulator.url}/graph.facebook.com/v25.0/{APP}/subscriptions"
    return caller.session.request(method, address, params=given, timeout=5)


def test_the_app_names_its_callback_by_a_call_instead_of_its_dashboard(caller, receiver):
    given = {"object": "instagram", "callback_url": receiver.url, "verify_token": VERIFY_TOKEN}
    before = app_edge(caller, "GET").json()

    done = app_edge(caller, "POST", **given, fields="story_insights,comments")

    [handshake] = receiver.handshakes
    assert handshake["hub.verify_token"] == VERIFY_TOKEN
    assert (before, done.json()) == ({"data": []}, {"success": True})
    fields = [{"name": name, "version": "v25.0"} for name in ("story_insights", "comments")]
    listed = {"object": "instagram", "callback_url": receiver.url, "active": True, "fields": fields}
    assert app_edge(caller, "GET").json() == {"data": [listed]}
    send(caller, field="comments")
    until(lambda: receiver.bodies)
    calls = json.dumps(caller.own("/calls"))
    assert not [secret for secret in (VERIFY_TOKEN, APP_SECRET) if secret in calls]
    assert app_edge(caller, "DELETE", object="instagram").json() == {"success": True}
    assert app_edge(caller, "GET").json() == {"data": []}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"access_token": TOKEN}, 15, "app access_token"),
        ({"verify_token": "another"}, 2200, "HTTP Status Code = 403; HTTP Message = Forbidden"),
        ({"callback_url": "http://127.0.0.1:9/"}, 2200, "Failed to connect"),
        ({"callback_url": "nonsense"}, 100, "callback_url"),
        ({"object": "page"}, 100, "object"),
        ({"fields": "comments,moods"}, 100, "fields[1]"),
        ({"fields": ""}, 100, "fields"),
    ],
)
def test_a_callback_of_the_app_that_cannot_be_used_is_refused(caller, receiver, changes, code, words):
    given = {"object": "instagram", "callback_url": receiver.url, "verify_token": VERIFY_TOKEN, "fields": "comments"}

    refused = app_edge(caller, "POST", **(given | changes))

    assert (refused.status_code, error(refused)["code"]) == (400, code)
    assert words in error(refused)["message"]
    assert app_edge(caller, "GET").json() == {"data": []}


def masked(value):
    return -1 if value < 5 else value


def test_the_last_values_of_each_story_come_about_an_hour_after_its_end(hooked, receiver):
    hooked.become("prolific")
    subscribe(hooked)
    for _ in range(3 * 24):
        hooked.order("/clock", advance=HOUR)
        run(hooked)

    seen = {value["media_id"]: (account, value, at) for account, _, value, at in received(receiver)}
    stories = {story["id"]: story for story in hooked.own(f"/truth/{hooked.account}/stories")["stories"]}
    expected = {key for key, story in stories.items() if NOW + HOUR < ended(story) < NOW + 3 * DAY - 2 * HOUR}
    assert len(expected) > 10
    assert expected <= set(seen)
    assert len(seen) == len(received(receiver))
    for key, (account, value, at) in seen.items():
        final = stories[key]["final"]
        assert account == hooked.account
        assert 0.7 * HOUR < at - ended(stories[key]) < 1.3 * HOUR
        assert value == {
            "media_id": key,
            "impressions": masked(final["views"]),
            "reach": masked(final["reach"]),
            "taps_forward": masked(final["tap_forward"]),
            "taps_back": masked(final["tap_back"]),
            "exits": masked(final["tap_exit"]),
            "replies": masked(final["replies"]),
        }


@pytest.mark.parametrize(
    ("counts", "names"),
    [
        ("old", OLD_NAMES),
        ("both", OLD_NAMES | {"views", "navigation"}),
        ("new", {"media_id", "reach", "replies", "views", "navigation"}),
    ],
)
def test_the_counts_of_a_story_have_old_or_new_names(hooked, receiver, counts, names):
    hooked.switch(webhook_story_counts=counts)
    send(hooked, field="story_insights", count=3)
    run(hooked)

    assert [set(value) for _, _, value, _ in received(receiver)] == [names] * 3


@pytest.mark.parametrize(("zeros", "value"), [("hidden", -1), ("kept", 0)])
def test_zero_is_hidden_or_kept(hooked, receiver, zeros, value):
    hooked.switch(webhook_zeros=zeros)
    hooked.become("no_followers")
    send(hooked, field="story_insights", count=30, account=hooked.account)
    run(hooked)

    finals = {story["id"]: story["final"] for story in hooked.own(f"/truth/{hooked.account}/stories")["stories"]}
    seen = [
        (each["replies"], finals[each["media_id"]]["replies"])
        for _, _, each, _ in received(receiver)
        if each["media_id"] in finals
    ]
    assert {said for said, true in seen if true == 0} == {value}


def test_without_a_subscription_no_story_is_delivered(hooked, receiver):
    hooked.order("/clock", advance=2 * DAY)

    assert run(hooked)["sent"] == 0


def test_a_field_that_the_dashboard_does_not_name_is_not_delivered(caller, receiver):
    register(caller, receiver, fields=["comments"])
    subscribe(caller)
    caller.order("/clock", advance=2 * DAY)

    assert run(caller)["sent"] == 0


def test_an_instagram_login_gets_no_story_insights(caller, receiver):
    register(caller, receiver, login="instagram")
    edge(
        caller,
        "POST",
        "graph.instagram.com",
        "me",
        access_token=caller.instagram_token,
        subscribed_fields="story_insights",
    )
    caller.order("/clock", advance=2 * DAY)

    assert run(caller)["sent"] == 0


def test_deliveries_go_out_by_the_clock_without_a_call(caller, receiver):
    register(caller, receiver, sending="clock")
    caller.become("prolific")
    subscribe(caller)
    caller.order("/clock", advance=DAY)

    until(lambda: receiver.bodies)

    assert all(field == "story_insights" for _, field, _, _ in received(receiver))
    until(lambda: caller.own("/webhooks")["confirmed_changes"] == len(genuine(caller)))


def test_a_callback_that_does_not_answer_holds_no_other_request(caller, receiver):
    register(caller, receiver, sending="clock")
    receiver.holds.clear()
    send(caller, field="comments", count=20, batch=1)
    until(lambda: caller.own("/webhooks")["on_their_way"] == 4)

    assert caller.graph("/me").elapsed.total_seconds() < 4  # The callback holds for ten.
    receiver.holds.set()
    until(lambda: len(receiver.bodies) == 20)


def test_a_reset_forgets_callbacks_subscriptions_and_deliveries(hooked, receiver):
    subscribe(hooked)
    send(hooked, field="comments")

    hooked.order("/reset")

    state = hooked.own("/webhooks")
    assert (state["callbacks"], state["subscriptions"], state["deliveries"], state["waiting"]) == ([], [], 0, 0)
    assert run(hooked)["sent"] == 0
    assert receiver.bodies == []


def test_forgetting_keeps_subscriptions(hooked):
    subscribe(hooked)
    send(hooked, field="comments")

    state = hooked.session.delete(f"{hooked.simulator.url}/_simulator/webhooks", timeout=5).json()

    assert (state["callbacks"], state["deliveries"]) == ([], 0)
    assert [each["account"] for each in state["subscriptions"]] == [ACCOUNT]
