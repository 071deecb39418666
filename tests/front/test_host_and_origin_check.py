"""Pages of other sites and foreign host names: they read nothing and spend nothing."""

from __future__ import annotations

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

REPORT, POSTS = "/performance-data?url=nasa", "/top-posts?time_range=7d&limit=3"
DASHBOARD, EVIL = "https://dashboard.example", "https://evil.example"


def fetched(site, mode="no-cors", dest="empty", **headers):
    return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest} | headers


# What a page of another site can make a browser send.
FOREIGN = {
    "image": fetched("cross-site", dest="image"),
    "script": fetched("cross-site", dest="script"),
    "frame": fetched("cross-site", "navigate", "iframe"),
    "link or form": fetched("cross-site", "navigate", "document"),
    "fetch without CORS": fetched("cross-site"),
    "fetch with CORS": fetched("cross-site", "cors", Origin=EVIL),
    "another port of this machine": fetched("same-site", "cors", Origin="http://localhost:3000"),
    "image of another port": fetched("same-site", dest="image"),
    "form of an old browser": {"Origin": EVIL},
    "another port of this machine, in an old browser": {"Origin": "http://localhost:3000"},
    "sandboxed frame": fetched("cross-site", "cors", Origin="null"),
    "no page of a known kind": fetched("elsewhere"),
    "a name that ends as the own one, in an old browser": {"Origin": "http://evil-localhost"},
    "a prefix": {"Origin": f"{DASHBOARD}.evil.example"},
    "another scheme": {"Origin": "http://dashboard.example"},
    "another port": {"Origin": f"{DASHBOARD}:8443"},
}
OWN = {
    "curl": {},
    "typed": fetched("none", "navigate", "document"),
    "own page": fetched("same-origin", "cors"),
    "own page that hides its origin": fetched("same-origin", "cors", Origin="null"),
    "own page over plain HTTP": {"Origin": "http://localhost"},
    "own page over plain HTTP, typed": {"Origin": "http://localhost:8000", "Host": "LocalHost:8000"},
    "listed": fetched("cross-site", "cors", Origin=DASHBOARD),
    "listed, in an old browser": {"Origin": DASHBOARD},
}


def refusal(reply):
    assert reply.status_code == 403
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert reply.headers["Cache-Control"] == "no-store"
    return reply.get_json()["code"]


@pytest.fixture
def world(make_world):
    return make_world(CORS_ORIGINS=DASHBOARD)


def test_a_page_of_another_site_reads_nothing_and_spends_nothing(world):
    codes = {name: refusal(world.get(REPORT, headers=headers)) for name, headers in FOREIGN.items()}
    assert codes == dict.fromkeys(FOREIGN, "origin_not_allowed")
    for method in ("HEAD", "OPTIONS", "POST"):
        opened = {name: world.client.open(REPORT, method=method, headers=headers) for name, headers in FOREIGN.items()}
        assert {name: reply.status_code for name, reply in opened.items()} == dict.fromkeys(FOREIGN, 403)
    assert world.calls() == []

    world.get(POSTS)
    assert world.get(POSTS).headers["X-Provider-Calls"] == "0"  # It is ready.
    codes = {name: refusal(world.get(POSTS, headers=headers)) for name, headers in FOREIGN.items()}
    assert codes == dict.fromkeys(FOREIGN, "origin_not_allowed")


def test_own_and_listed_pages_and_other_callers_are_answered(world):
    for name, headers in OWN.items():
        cold, ready = (world.get(POSTS, headers=headers) for _ in range(2))

        assert (cold.status_code, ready.status_code) == (200, 200), name
        is_listed = headers.get("Origin") == DASHBOARD
        assert ready.headers.get("Access-Control-Allow-Origin") == (DASHBOARD if is_listed else None), name


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json"])
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 403)])
def test_a_link_of_any_page_leads_to_what_spends_nothing(client, path, method, status):
    def sent(mode, dest):
        return client.open(path, method=method, headers=fetched("cross-site", mode, dest)).status_code

    assert sent("navigate", "document") == status
    assert (sent("navigate", "iframe"), sent("no-cors", "document")) == (403, 403)


def test_a_preflight_of_a_page_that_is_not_listed_is_refused(world):
    asked = {"Access-Control-Request-Method": "GET"}

    assert refusal(world.client.options(POSTS, headers=asked | {"Origin": EVIL})) == "origin_not_allowed"
    assert world.client.options(POSTS, headers=asked | {"Origin": DASHBOARD}).status_code == 204


def test_a_star_lets_every_page_in_by_fetch_and_none_by_images_and_links(make_world):
    world = make_world(CORS_ORIGINS="*")

    statuses = {name: world.get(POSTS, headers=headers).status_code for name, headers in FOREIGN.items()}

    assert statuses == {name: 200 if "Origin" in headers else 403 for name, headers in FOREIGN.items()}
    assert refusal(world.get(REPORT, headers=FOREIGN["image"])) == "origin_not_allowed"
    assert world.get(POSTS, headers={"Origin": EVIL}).headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Origin" not in world.get(POSTS).headers  # It is no page.


@pytest.mark.parametrize("providers", ["sandbox", "live"])
def test_both_modes_refuse(make_world, providers):
    more = {"SANDBOX_DESPITE_CREDENTIALS": "true"} if providers == "sandbox" else {}
    world = make_world(PROVIDERS=providers, **more)

    assert refusal(world.get(REPORT, headers=FOREIGN["image"])) == "origin_not_allowed"
    assert refusal(world.get(REPORT, headers={"Host": "evil.example"})) == "host_not_allowed"


# Hosts

LOCAL = [
    "127.0.0.1",
    "127.0.0.1:8000",
    "localhost",
    "LocalHost:65535",
    "localhost.",
    "[::1]",
    "[::1]:8000",
    "[0:0::1]",
    "",
]
FOREIGN_HOSTS = [
    *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example.", "x"),
    *(
        "192.0.2.7",
        "[2001:db8::1]",
        "[::1",
        "[::1]x",
        "localhost:x",
        "a b",
        "localhost,evil.example",
        "127.1",
        "@localhost",
    ),
    *("user@localhost", "\xff", "x" * 5000, "localhost/..", "::1", "[::1%25lo]"),
]


@pytest.mark.parametrize("allowed", ["", "gateway.example"])
def test_this_machine_may_always_call(make_world, allowed):
    world = make_world(ALLOWED_HOSTS=allowed)

    statuses = {host: world.get("/healthz", headers={"Host": host}).status_code for host in LOCAL}

    assert statuses == dict.fromkeys(LOCAL, 200)


def test_a_foreign_host_reads_nothing_and_spends_nothing(world):
    for host in FOREIGN_HOSTS:
        for path in (REPORT, "/healthz", "/readyz", "/webhooks/instagram"):
            assert refusal(world.get(path, environ_overrides={"HTTP_HOST": host})) == "host_not_allowed", host
    assert world.calls() == []

    world.get(POSTS)
    assert world.get(POSTS).headers["X-Provider-Calls"] == "0"  # It is ready.
    for host in FOREIGN_HOSTS:
        assert refusal(world.get(POSTS, environ_overrides={"HTTP_HOST": host})) == "host_not_allowed", host


def test_a_listed_host_is_answered_on_every_path_the_webhook_too(make_world):
    world = make_world(ALLOWED_HOSTS="Gateway.Example, bücher.example.", WEBHOOK_VERIFY_TOKEN="right")
    handshake = "/webhooks/instagram?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1"

    for host in ("gateway.example", "GATEWAY.example:443", "gateway.example.", "xn--bcher-kva.example"):
        assert world.get(POSTS, headers={"Host": host}).status_code == 200
        assert world.get(handshake, headers={"Host": host}).get_json()["code"] == "verify_token_invalid"
        assert refusal(world.get(POSTS, headers={"Host": f"a.{host}"})) == "host_not_allowed"


@pytest.mark.parametrize(
    ("bound", "answered", "refused"),
    [
        ("192.0.2.7", ["192.0.2.7:8000", "localhost"], ["192.0.2.8", "evil.example"]),
        ("Gateway.Internal", ["gateway.internal"], ["evil.example"]),
        ("0.0.0.0", ["192.0.2.7:8000", "[2001:db8::1]", "127.0.0.1"], ["evil.example", "192.0.2.7.evil.example", "1"]),
        ("0:0::0", ["192.0.2.7"], ["evil.example"]),
        ("::", ["192.0.2.7", "[2001:db8::1]:8000"], ["evil.example", "[x]", "[fe80::1%25lo]"]),
    ],
)
def test_the_address_that_the_gateway_is_bound_to_is_answered(make_world, bound, answered, refused):
    """Bound to every address, it answers under each: only a name can be made to point to another machine."""
    world = make_world(HOST=bound)

    assert {world.get("/healthz", headers={"Host": host}).status_code for host in answered} == {200}
    assert {refusal(world.get("/healthz", headers={"Host": host})) for host in refused} == {"host_not_allowed"}


@pytest.mark.parametrize("allowed", ["", "*"])
def test_without_a_host_only_an_older_version_is_answered(make_world, allowed):
    world = make_world(ALLOWED_HOSTS=allowed)
    app = world.client.application

    def sent(protocol):
        """Send a request without `Host` twice, the second time with a ready reply, and return the statuses."""
        statuses = []
        for _ in range(2):
            environ = EnvironBuilder(POSTS).get_environ() | {"SERVER_PROTOCOL": protocol}
            del environ["HTTP_HOST"]
            statuses.append(run_wsgi_app(app, environ)[1][:3])
        ready = app.wsgi_app.ready_reply(environ, lambda *_: None)
        return statuses, ready is not None

    assert sent("HTTP/1.1") == (["400", "400"], False)
    assert sent("HTTP/1.0") == (["200", "200"], True)
    assert sent("HTTP/1.1") == (["400", "400"], False)


def test_a_star_answers_under_every_name(make_world):
    world = make_world(ALLOWED_HOSTS="*")

    assert {world.get("/healthz", headers={"Host": host}).status_code for host in ("evil.example", "192.0.2.7")} == {
        200
    }


def test_a_page_of_another_origin_at_a_foreign_host_is_refused_for_its_host(world):
    """As after DNS rebinding, where the page counts as one of the same origin."""
    headers = fetched("same-origin", "cors", Host="evil.example:8000")

    assert refusal(world.get(POSTS, headers=headers)) == "host_not_allowed"


def test_many_spellings_of_a_host_are_answered_and_not_all_kept(world):
    for port in range(1, 150):
        assert world.get("/healthz", headers={"Host": f"localhost:{port}"}).status_code == 200

    assert len(world.client.application.wsgi_app._checks._known_hosts) <= 100


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/healthz", 200),
        ("http://LOCALHOST:8000/healthz", 200),
        ("/healthz?next=http://evil.example/", 200),
        ("*", 200),
        ("http://evil.example/healthz", 403),
        ("http://localhost@evil.example/healthz", 403),
        ("http://evil.example@localhost/healthz", 403),
        ("//evil.example/healthz", 200),
    ],
)
def test_a_target_with_a_host_is_checked_as_the_header_is(client, target, status):
    """What is a path for the server names no host, whatever is in it."""
    assert client.get("/healthz", environ_overrides={"RAW_URI": target}).status_code == status
