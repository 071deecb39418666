"""Every endpoint against every kind of key; a new endpoint is covered by the URL map, or the tests ask for it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.test import EnvironBuilder

from routes.access import WITHOUT_KEY
from routes.validation import parameters
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.accounts import AccountRow
from tests.support import add_key, bearer

KEY = new_key()
NO_ID, NO_NAME, NO_MEDIA = "17841499999999999", "no.such.account", "17999999999999999"
# What each endpoint requires beside ids. One that is new and requires something fails until it stands here.
REQUIRED = {
    "/account-insights": "period=day&metrics=reach",
    "/growth-trends": "period=7d&metrics=reach",
    "/top-posts": "time_range=7d",
    "/history": "metrics=followers",
    "/api/instagram/insights/test": f"media_id={NO_MEDIA}",
}
PATHS = [f"{path}?{query}" for path, query in REQUIRED.items() if "/api/" not in path]
NEEDS_ADMIN = {"/api/instagram/insights/test", "/metrics"}
# Those over no account of the gateway, or over several; the last test looks at what these show.
WITHOUT_ACCOUNT = {
    *NEEDS_ADMIN,
    "/compare",
    "/accounts",
    "/performance-data",
    "/api/discovery/performance-data",
    "/performance-data/history",
    "/api/instagram/insights/metrics/<media_type>",
    "/credits",
    "/status",
    "/quota",
}
OF_REQUEST = {"X-Request-Id", "Date"}


class Two:
    """A live gateway with accounts A (of the settings) and B (added), and a key for each alone."""

    def __init__(self, world):
        self.world = world
        listed = world.simulator.get("/_simulator/accounts").json()["accounts"]
        other = next(each for each in listed if each["kind"] == "prolific" and each["id"] != world.account["id"])
        self.a, self.b = world.account, other
        sealed = TokenEncryption([KEY], learn=lambda _: None).seal(other["token"])
        self.store = world.services.store
        self.store.accounts.put(AccountRow(other["id"], other["username"], "facebook", other["page_id"], sealed, 1.0))
        _, self.key_a = add_key(self.store, accounts=[self.a["id"]])
        _, self.key_b = add_key(self.store, accounts=[self.b["id"]])
        _, self.key_none = add_key(self.store, accounts=[])
        _, self.key_all = add_key(self.store)
        world.advance(seconds=3)

    def get(self, path, key, **headers):
        return self.world.get(path, headers=bearer(key) | headers)

    def warm(self):
        """Have B's numbers read, kept, cached as ready replies, and its media indexed."""
        for path in (*PATHS, "/stories"):
            for _ in range(2):
                assert self.get(path, self.key_b).status_code == 200
        self.media = self.get("/top-posts?time_range=7d", self.key_b).get_json()["top_posts"][0]["id"]
        assert self.get(f"/history/posts/{self.media}", self.key_b).status_code == 200
        assert self.get(f"/api/instagram/insights/{self.media}", self.key_b).status_code == 200
        self.world.calls()

    def cost(self, statements, path):
        """Return what a request of A reads and calls, on which the time that it takes depends.

        The cheapest of several counts: the first one may read what later ones know, and on a slow machine one of these
        may look again for what is known for a second.
        """
        costs = []
        for _ in range(4):
            statements.clear()
            self.world.calls()
            assert self.get(path, self.key_a).status_code == 404
            costs.append((list(statements), self.world.calls()))
        return min(costs, key=lambda cost: len(cost[0]) + len(cost[1]))


@pytest.fixture
def two(make_world):
    return Two(make_world(TOKEN_KEY=KEY, ALLOW_ANONYMOUS="false"))


def rules(world):
    return [rule for rule in world.client.application.url_map.iter_rules() if rule.rule not in WITHOUT_KEY]


def model_of(world, rule):
    return world.client.application.view_functions[rule.endpoint].query_model


def over_an_account(world):
    return [rule for rule in rules(world) if "account" in model_of(world, rule).model_fields]


def path_of(rule, media):
    return rule.rule if not rule.arguments else rule.rule.replace(f"<{next(iter(rule.arguments))}>", media)


def answer_of(reply, *names):
    """Status, body and headers of a reply, without what names the request."""
    text = reply.get_data(as_text=True).replace(reply.headers["X-Request-Id"], "")
    for name in names:
        text = text.replace(name, "")
    headers = {name: value for name, value in reply.headers.items() if name not in OF_REQUEST | {"Content-Length"}}
    return reply.status_code, text, headers


def test_no_endpoint_is_answered_without_a_valid_key_and_nothing_is_read(two):
    now = two.world.clock.timestamp()
    _, expired = add_key(two.store, expires_at=now)
    revoked, revoked_text = add_key(two.store)
    two.store.api_keys.revoke(revoked, now)
    two.warm()
    found = {}
    for rule in rules(two.world):
        two.world.clock.wait(60)  # An address may fail so often a minute only.
        path = f"{path_of(rule, two.media)}?{REQUIRED.get(rule.rule, '')}"
        for name, headers in {
            "none": {},
            "wrong": bearer(two.key_a[:-3] + "abc"),
            "expired": bearer(expired),
            "revoked": bearer(revoked_text),
        }.items():
            reply = two.world.get(path, headers=headers)
            found[rule.rule, name] = (reply.status_code, reply.get_json()["code"], reply.headers["Cache-Control"])

    assert len(found) >= 4 * 22
    assert set(found.values()) == {(401, "unauthorized", "no-store")}
    assert two.world.calls() == []


def test_a_read_key_gets_403_where_more_is_needed_and_only_there(two):
    two.warm()
    refused = {}
    for rule in rules(two.world):
        path = f"{path_of(rule, two.media)}?{REQUIRED.get(rule.rule, '')}"
        reply = two.get(path, two.key_b)
        if reply.status_code in {401, 403}:
            refused[rule.rule] = reply.get_json()["code"]
        if "refresh" in model_of(two.world, rule).model_fields and rule.rule not in WITHOUT_ACCOUNT:
            reply = two.get(f"{path}&refresh=true", two.key_b)
            assert (reply.status_code, reply.get_json()["code"]) == (403, "insufficient_scope"), rule.rule

    assert refused == dict.fromkeys(NEEDS_ADMIN, "insufficient_scope")


def test_another_account_answers_as_one_that_does_not_exist(two):
    two.warm()
    two.get("/growth-trends?period=7d", two.key_a)  # Reads its name, with which a name is compared.
    two.world.calls()
    checked = set()
    for rule in over_an_account(two.world):
        query = REQUIRED.get(rule.rule, "")
        for theirs, missing in ((two.b["id"], NO_ID), (two.b["username"], NO_NAME)):
            media = (two.media, NO_MEDIA) if rule.arguments else ("", "")
            replies = [
                two.get(f"{path_of(rule, id_)}?{query}&account={account}", two.key_a)
                for account, id_ in ((missing, media[1]), (theirs, media[0]), (theirs, media[0]))
            ]
            first, *others = [answer_of(reply, theirs, missing, *media) for reply in replies]
            assert first[0] == 404, (rule.rule, replies[0].get_json())
            assert replies[1].get_json()["code"] == "account_unknown"
            assert [first] * 2 == others, rule.rule
        checked.add(rule.rule)

    # Nothing was asked about B; of A nothing but its own name, where a name was given.
    about_b = [path for path in two.world.calls() if two.b["id"] in path or two.media in path]
    assert about_b == []
    assert checked | WITHOUT_ACCOUNT == {rule.rule for rule in rules(two.world)}


def test_media_of_another_account_answer_as_ones_that_do_not_exist(two):
    two.warm()
    story = two.get("/stories", two.key_b).get_json()["stories"]
    ids = [two.media, *(each["id"] for each in story[:1])]
    pairs = [(id_, f"{NO_MEDIA[:-1]}{number}") for number, id_ in enumerate(ids)]
    two.get(f"/stories/{NO_MEDIA}", two.key_a)  # Reads the own list, in which a story is looked for.
    for rule in over_an_account(two.world):
        if not rule.arguments:
            continue
        for named in ("", f"account={two.a['id']}"):
            for id_, no_media in pairs:
                missing = two.get(f"{path_of(rule, no_media)}?{named}", two.key_a)
                calls = len(two.world.calls())
                theirs = two.get(f"{path_of(rule, id_)}?{named}", two.key_a)
                assert answer_of(theirs, id_) == answer_of(missing, no_media), (rule.rule, named)
                assert theirs.status_code == 404
                assert len(two.world.calls()) in ({0, calls} if named else {0}), (rule.rule, named)


def test_the_only_account_is_the_only_one_that_the_key_sees(two):
    two.warm()

    mine = {
        name: two.get("/top-posts?time_range=7d", key).get_json() for name, key in vars(two).items() if "key" in name
    }

    assert mine["key_a"]["meta"]["account"] == two.a["id"] == mine["key_all"]["meta"]["account"]
    assert mine["key_b"]["meta"]["account"] == two.b["id"]
    assert mine["key_none"]["code"] == "account_unknown"


def test_lists_and_comparisons_show_nothing_of_another_account(two):
    two.warm()
    compared = two.get(f"/compare?accounts={two.a['id']},{two.b['id']}&period=7d", two.key_a).get_json()["accounts"]
    unknown = two.get(f"/compare?accounts={two.a['id']},{NO_ID}&period=7d", two.key_a).get_json()["accounts"]
    assert str(compared[1]).replace(two.b["id"], "") == str(unknown[1]).replace(NO_ID, "")
    assert compared[1]["error"]["code"] == "account_unknown"
    for path in ("/accounts", "/quota", "/status", "/credits"):
        for key, other in ((two.key_a, two.b), (two.key_b, two.a)):
            text = two.get(path, key).get_data(as_text=True)
            assert [secret for secret in (other["id"], other["username"]) if secret in text] == [], path
    status = two.get("/status", two.key_b).get_json()
    assert [(check["name"], two.b["username"] in check["message"]) for check in status["checks"]] == [("account", True)]
    assert status["work"] is None
    assert two.get("/status", two.key_all).get_json()["checks"][0]["name"] == "token"
    assert two.b["id"] in two.get("/quota", two.key_b).get_data(as_text=True)
    listed = two.get("/accounts", two.key_b).get_json()["accounts"]
    assert [each["id"] for each in listed] == [two.b["id"]]


def test_of_the_quota_a_limited_key_sees_neither_breakers_of_others_nor_limits_of_all(two):
    two.warm()
    two.world.fault("server_error", path=two.b["id"])
    for day in range(1, 8):
        for key in (two.key_b, two.key_a):
            two.get(f"/account-insights?period=day&metrics=reach&since=2026-10-0{day}&until=2026-10-0{day}", key)

    quotas = {name: two.get("/quota", key).get_json() for name, key in vars(two).items() if name.startswith("key_")}

    opened = {
        name: {each["account"] for each in quota["breakers"] if each["account"]} for name, quota in quotas.items()
    }
    limited = {name: {each["account"] for each in quota["limits"]} for name, quota in quotas.items()}
    assert opened == {"key_a": set(), "key_b": {two.b["id"]}, "key_none": set(), "key_all": {two.b["id"]}}
    assert None in limited["key_all"]
    assert [limited[name] - {own} for name, own in (("key_a", two.a["id"]), ("key_b", two.b["id"]))] == [set(), set()]
    assert limited["key_none"] == set()


def test_ready_replies_and_tags_are_shared_by_keys_with_equal_accounts_only(two):
    path = "/top-posts?time_range=7d"
    _, same = add_key(two.store, accounts=[two.b["id"]])
    two.warm()

    ready = two.get(path, same)
    assert ready.headers["Cache-Status"].startswith("insights-gateway; hit")
    tag = ready.headers["ETag"]
    assert two.get(path, same, **{"If-None-Match": tag}).status_code == 304
    other = two.get(path, two.key_a, **{"If-None-Match": tag})
    assert (other.status_code, other.get_json()["meta"]["account"]) == (200, two.a["id"])
    assert {"Authorization", "X-API-Key"} <= set(other.headers["Vary"].split(", "))
    assert other.headers["Cache-Control"].startswith("private")


def test_a_reply_that_is_made_without_a_thread_is_for_keys_with_equal_accounts_only(two):
    path, front = "/top-posts?time_range=7d", two.world.client.application.wsgi_app
    _, same = add_key(two.store, accounts=[two.b["id"]])
    for key in (two.key_all, two.key_b):
        assert two.get(path, key).status_code == 200
    keys = (two.key_all, two.key_b, same, two.key_a, two.key_none)

    def account_shown_to(key):
        two.get("/accounts", key)  # Only a key that is known needs no thread.
        ready = front.ready_reply(EnvironBuilder(path, headers=bearer(key)).get_environ(), lambda *_: None)
        return None if ready is None else json.loads(b"".join(ready))["meta"]["account"]

    assert [account_shown_to(key) for key in keys] == [two.a["id"], two.b["id"], two.b["id"], None, None]


def test_nothing_of_one_account_is_answered_to_the_other_key_at_once(two):
    asked = [(path, key, account) for path in PATHS for key, account in ((two.key_a, two.a), (two.key_b, two.b))] * 6

    def ask(each):
        path, key, account = each
        return path, account["id"], two.get(path, key).get_json()["meta"]["account"]

    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(ask, asked))

    assert [each for each in answered if each[1] != each[2]] == []


def test_no_cache_refreshes_for_a_key_that_may_and_says_so_to_one_that_may_not(two):
    _, refreshing = add_key(two.store, accounts=[two.b["id"]], scope="refresh")
    two.warm()
    path, asks = "/top-posts?time_range=7d", {"Cache-Control": "no-cache"}
    before = two.get(path, two.key_b)
    two.world.advance(seconds=5)

    refused = two.get(path, two.key_b, **asks)
    assert refused.headers["Cache-Status"].endswith("; detail=refresh-not-permitted")
    assert (refused.status_code, refused.data) == (200, before.data)
    assert two.world.calls() == []

    refreshed = two.get(path, refreshing, **asks)
    assert refreshed.headers["Cache-Status"].startswith("insights-gateway; fwd=request")
    assert two.world.calls() != []
    assert refreshed.get_json()["meta"]["fetched_at"] > before.get_json()["meta"]["fetched_at"]
    # The refreshed reply is the ready one from then on.
    assert two.get(path, two.key_b).data == refreshed.data


def test_a_refreshed_reply_that_changed_nothing_is_ready_for_the_accounts_of_its_key_only(two):
    _, refreshing = add_key(two.store, accounts=[two.b["id"]], scope="refresh")
    path = "/account-insights?period=day&metrics=views&since=2026-11-10&until=2026-11-10"
    keys = (two.key_b, refreshing, two.key_all)

    replies = [two.get(f"{path}{'&refresh=true' if key is refreshing else ''}", key).get_json() for key in keys]

    assert [reply["meta"]["account"] for reply in replies] == [two.b["id"], two.b["id"], two.a["id"]]


def test_no_cache_pays_for_no_report(two):
    _, refreshing = add_key(two.store, scope="admin")
    path = "/performance-data?url=nasa"
    bought = two.get(path, refreshing)
    two.world.calls()
    two.world.advance(hours=25)

    again = two.get(path, refreshing, **{"Cache-Control": "no-cache"})

    assert (bought.status_code, again.status_code, two.world.calls("nasa")) == (200, 200, [])


@pytest.mark.parametrize("path", ["/capabilities?account={}", "/top-posts?time_range=7d&account={}"])
def test_an_account_of_another_key_costs_what_one_that_does_not_exist_costs(two, statements, path):
    two.warm()

    assert two.cost(statements, path.format(two.b["id"])) == two.cost(statements, path.format(NO_ID))


@pytest.mark.parametrize("path", ["/history/posts/{}", "/api/instagram/insights/{}"])
def test_a_post_of_another_key_costs_what_one_that_does_not_exist_costs(two, statements, path):
    two.warm()

    assert two.cost(statements, path.format(two.media)) == two.cost(statements, path.format(NO_MEDIA))


def test_no_reply_repeats_a_credential_that_a_caller_wrote_where_none_belongs(two):
    pasted = "EAA" + "Zc3b" * 6  # It has the form of a token, which no setting holds, and of a username.
    _, admin = add_key(two.store, scope="admin")
    shown, statuses = [], set()
    for rule in rules(two.world):
        required = dict(pair.split("=") for pair in REQUIRED.get(rule.rule, "").split("&") if pair)
        for name in parameters(model_of(two.world, rule)):
            in_path = name in rule.arguments
            query = "&".join(f"{key}={value}" for key, value in (required | {name: pasted}).items() if not in_path)
            reply = two.get(f"{path_of(rule, pasted if in_path else NO_MEDIA)}?{query}", admin)
            statuses.add(reply.status_code)
            if pasted in f"{reply.get_data(as_text=True)}{reply.headers}":
                shown.append((rule.rule, name))
    compared = two.get(f"/compare?period=7d&format=csv&accounts={pasted},{two.a['id']}", admin)

    assert shown == []
    assert {200, 400} <= statuses
    assert pasted not in compared.get_data(as_text=True)
    assert two.a["id"] in compared.get_data(as_text=True)
