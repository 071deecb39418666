"""Which account a media belongs to: remembered from lists, never found out by trying tokens."""

from __future__ import annotations

import pytest
import responses

from services.accounts.token_encryption import new_key
from services.clients.graph.models import Account
from services.media.index import MediaIndex
from services.store.media import MediaRow, MediaTable
from services.store.posts import PostRow
from services.store.stories import StoryRow
from tests.planners import body_of, plan_posts, post
from tests.support import ACCOUNT_ID, GRAPH, TOKEN, add_account, add_key, bearer, graph_error, settings

KEY = new_key()
OTHER, OTHER_TOKEN = "17841400000000011", "EAAotherTOKENofANaccount000000"
NOWHERE = "17900000000000009"
MINE, THEIRS = "17900000000000001", "17900000000000002"
PATH = "/api/instagram/insights"


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def client(make_client, clock):
    """A gateway with two accounts: that of the settings, and one that was added."""
    client = make_client(settings(token_key=KEY, retry_budget=10.0), clock=clock)
    add_account(client.application.extensions["services"].store, KEY, OTHER, token=OTHER_TOKEN)
    clock.wait(2)
    return client


def plan_media(wire, media_id, owner):
    wire.get(f"{GRAPH}/v25.0/{media_id}", json=post(media_id, media_product_type="FEED") | {"owner": {"id": owner}})
    wire.get(f"{GRAPH}/v25.0/{media_id}/insights", json={"data": [{"name": "views", "values": [{"value": 7}]}]})


def tokens_of(wire, media_id):
    calls = [call.request for call in wire.calls if f"/{media_id}" in call.request.url]
    return {call.headers["Authorization"].removeprefix("Bearer ") for call in calls}


def test_a_media_of_a_list_is_read_with_the_token_of_its_account(client, wire):
    plan_posts(wire, [post(MINE)])
    wire.get(f"{GRAPH}/v25.0/{OTHER}/media", json={"data": [post(THEIRS)]})
    body_of(client, "/top-posts", time_range="7d")
    body_of(client, "/top-posts", time_range="7d", account=OTHER)
    for media_id, owner in ((MINE, ACCOUNT_ID), (THEIRS, OTHER)):
        plan_media(wire, media_id, owner)

    bodies = [body_of(client, f"{PATH}/{media_id}", metrics="views") for media_id in (MINE, THEIRS)]

    assert [body["meta"]["account"] for body in bodies] == [ACCOUNT_ID, OTHER]
    assert [tokens_of(wire, media_id) for media_id in (MINE, THEIRS)] == [{TOKEN}, {OTHER_TOKEN}]


def test_the_owner_is_known_after_a_restart(client, make_client, clock, wire):
    wire.get(f"{GRAPH}/v25.0/{OTHER}/media", json={"data": [post(THEIRS)]})
    body_of(client, "/top-posts", time_range="7d", account=OTHER)
    plan_media(wire, THEIRS, OTHER)

    restarted = make_client(client.application.extensions["config"], clock=clock)

    assert body_of(restarted, f"{PATH}/{THEIRS}", metrics="views")["meta"]["account"] == OTHER
    assert tokens_of(wire, THEIRS) == {OTHER_TOKEN}


def test_where_several_accounts_could_be_meant_none_is_tried(client, wire):
    response = client.get(f"{PATH}/{THEIRS}?metrics=views")

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")
    assert "account is missing" in response.get_json()["message"]
    assert len(wire.calls) == 0


def test_the_only_account_is_meant_where_there_is_one(make_client, clock, wire):
    client = make_client(clock=clock)
    plan_media(wire, MINE, ACCOUNT_ID)

    assert body_of(client, f"{PATH}/{MINE}", metrics="views")["meta"]["account"] == ACCOUNT_ID


def test_a_media_of_another_account_is_not_shown_for_the_named_one(client, wire):
    plan_media(wire, THEIRS, OTHER)  # One user's token may read both.

    first, second = (client.get(f"{PATH}/{THEIRS}?metrics=views&account={ACCOUNT_ID}") for _ in range(2))

    assert [each.get_json()["code"] for each in (first, second)] == ["object_not_found"] * 2
    assert len(wire.calls) == 1
    assert body_of(client, f"{PATH}/{THEIRS}", metrics="views")["meta"]["account"] == OTHER


@pytest.mark.parametrize("is_listed", [False, True])
@pytest.mark.parametrize("shown", [{"owner": {"id": OTHER}}, {}, None])
def test_a_key_sees_no_difference_between_another_accounts_media_and_none(client, wire, shown, is_listed):
    """One user's token may read both accounts; the key may see one of them. This process may know whose media it is."""
    if is_listed:
        wire.get(f"{GRAPH}/v25.0/{OTHER}/media", json={"data": [post(THEIRS)]})
        body_of(client, "/top-posts", time_range="7d", account=OTHER)
    _, key = add_key(client.application.extensions["services"].store, accounts=[ACCOUNT_ID])
    unshown = {"id": THEIRS, "owner": {"id": ACCOUNT_ID}}  # as a story that is over
    wire.get(f"{GRAPH}/v25.0/{THEIRS}", json=unshown if shown is None else post(THEIRS) | shown)
    wire.get(f"{GRAPH}/v25.0/{NOWHERE}", json=graph_error(100, 33), status=400)

    def seen(path, media_id):
        reply = client.get(f"{path.format(media_id)}account={ACCOUNT_ID}", headers=bearer(key))
        body = reply.get_json() | {"request_id": None}
        headers = {name: value for name, value in reply.headers.items() if name not in {"X-Request-Id", "RateLimit"}}
        calls = [call for call in wire.calls if f"/{media_id}" in call.request.url]
        return reply.status_code, body, headers, len(calls)

    for path in (f"{PATH}/{{}}?metrics=views&", f"{PATH}/{{}}/profile-activity?", f"{PATH}/{{}}?"):
        theirs, nowhere = ([seen(path, media_id) for _ in range(2)] for media_id in (THEIRS, NOWHERE))
        assert theirs == nowhere
        assert (theirs[0][0], theirs[0][3]) == (404, 3)


def test_an_account_that_is_gone_is_not_meant(client, make_client, clock, wire):
    services = client.application.extensions["services"]
    services.store.media.put([MediaRow(THEIRS, "17841400000000099", "FEED", "IMAGE", 1.0)])

    response = client.get(f"{PATH}/{THEIRS}?metrics=views")

    assert response.status_code == 400


def keep_post(client, *accounts):
    """Keep a post as an import does."""
    for account in accounts:
        client.application.extensions["services"].store.posts.keep(account, [PostRow(THEIRS, 1.0)])


def test_the_owner_of_an_imported_post_is_found_by_its_history(client, wire):
    keep_post(client, OTHER, "17841400000000099")
    plan_media(wire, THEIRS, OTHER)

    history = body_of(client, f"/history/posts/{THEIRS}")
    insights = body_of(client, f"{PATH}/{THEIRS}", metrics="views")

    assert [body["meta"]["account"] for body in (history, insights)] == [OTHER, OTHER]
    assert tokens_of(wire, THEIRS) == {OTHER_TOKEN}


@pytest.mark.parametrize("accounts", [["17841400000000099"], [ACCOUNT_ID, OTHER]])
def test_an_imported_post_of_no_account_that_is_here_or_of_several_has_no_owner(client, wire, accounts):
    keep_post(client, *accounts)

    replies = [client.get(path) for path in (f"/history/posts/{THEIRS}", f"{PATH}/{THEIRS}?metrics=views")]

    assert ["account is missing" in reply.get_json()["message"] for reply in replies] == [True, True]
    assert len(wire.calls) == 0


def test_a_key_finds_no_imported_post_of_an_account_that_it_may_not_see(client, wire):
    keep_post(client, OTHER)
    store = client.application.extensions["services"].store
    keys = [add_key(store, accounts=[account])[1] for account in (ACCOUNT_ID, OTHER)]

    replies = [client.get(f"/history/posts/{THEIRS}", headers=bearer(key)) for key in keys]

    assert [reply.status_code for reply in replies] == [404, 200]


ENDPOINTS = (f"{PATH}/{THEIRS}?metrics=views", f"/stories/{THEIRS}", f"/history/posts/{THEIRS}")


@pytest.mark.parametrize("kind", ["story", "post", "listed"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_each_endpoint_finds_the_account_of_a_media_in_the_same_way(client, wire, kind, path):
    store = client.application.extensions["services"].store
    if kind == "story":
        store.stories.keep(OTHER, [StoryRow(THEIRS, 1.0)])
    elif kind == "post":
        keep_post(client, OTHER)
    else:
        store.media.put([MediaRow(THEIRS, OTHER, "FEED", "IMAGE", 1.0)])
    wire.get(f"{GRAPH}/v25.0/{OTHER}/stories", json={"data": []})
    plan_media(wire, THEIRS, OTHER)

    reply = client.get(path)

    assert reply.status_code in (200, 404, 410)  # and not 400: the account is known
    assert {call.request.headers["Authorization"] for call in wire.calls} <= {f"Bearer {OTHER_TOKEN}"}


@pytest.mark.parametrize(
    ("accounts", "is_unclear"), [(["17841400000000099", OTHER], False), ([ACCOUNT_ID, OTHER], True)]
)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_story_that_is_kept_for_several_accounts_belongs_to_the_only_one_of_them_that_is_here(
    client, wire, path, accounts, is_unclear
):
    for account in accounts:
        client.application.extensions["services"].store.stories.keep(account, [StoryRow(THEIRS, 1.0)])
    wire.get(f"{GRAPH}/v25.0/{OTHER}/stories", json={"data": []})
    plan_media(wire, THEIRS, OTHER)

    reply = client.get(path)

    assert ("account is missing" in reply.text, reply.status_code == 400) == (is_unclear, is_unclear)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_imported_story_of_the_account_of_the_settings_is_found_before_any_call(make_client, clock, wire, path):
    client = make_client(settings(token_key=KEY, retry_budget=10.0, instagram_account_id=""), clock=clock)
    store = client.application.extensions["services"].store
    add_account(store, KEY, OTHER, token=OTHER_TOKEN)
    clock.wait(2)
    store.stories.keep(ACCOUNT_ID, [StoryRow(THEIRS, 1.0)])
    wire.get(f"{GRAPH}/v25.0/me", json={"user_id": ACCOUNT_ID, "id": ACCOUNT_ID, "username": "me"})
    wire.get(f"{GRAPH}/v25.0/me/accounts", json={"data": []})
    plan_media(wire, THEIRS, ACCOUNT_ID)

    assert client.get(path).status_code != 400


def test_an_unknown_media_is_asked_for_with_the_named_account(client, wire):
    wire.get(f"{GRAPH}/v25.0/{THEIRS}", json=graph_error(100, 33), status=400)

    response = client.get(f"{PATH}/{THEIRS}?metrics=views&account={OTHER}")

    assert response.status_code == 404
    assert tokens_of(wire, THEIRS) == {OTHER_TOKEN}


# The table


@pytest.fixture
def table(store):
    return MediaTable(store.databases[1])


def test_what_is_unknown_now_stays_as_it_was(table):
    table.put([MediaRow("1", "a", "FEED", "IMAGE", 12.5)])
    table.put([MediaRow("1", "a"), MediaRow("2", "b", has_link=False)])

    assert table.read(["1", "2", "3"]) == {
        "1": MediaRow("1", "a", "FEED", "IMAGE", 12.5),
        "2": MediaRow("2", "b", has_link=False),
    }


@pytest.mark.parametrize("name", ["timestamp", "media_type", "media_product_type"])
def test_what_an_item_of_a_list_lacks_stays_known_to_the_process_too(table, name):
    index, whole = MediaIndex(table), post("1", media_product_type="FEED")
    index.saw(Account("a", "token"), [whole])
    before = index.find("1")

    index.saw(Account("a", "token"), [{key: value for key, value in whole.items() if key != name}])

    assert index.find("1") == MediaIndex(table).find("1") == before
    assert None not in (before.created_at, before.media_type, before.product_type)


def test_a_list_that_is_read_again_costs_no_statement(store):
    written = []

    class Counted(MediaTable):
        def put(self, rows):
            written.append(len(rows))
            super().put(rows)

    index = MediaIndex(Counted(store.databases[1]))
    posts = [post(str(number)) for number in range(1, 301)]

    for _ in range(3):
        index.saw(Account("a", "token"), posts)

    assert written == [300]
    assert MediaIndex(MediaTable(store.databases[1])).find("300").account == "a"
