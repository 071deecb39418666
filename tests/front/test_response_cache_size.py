"""The bound of the cached replies: it counts everything that callers can make large, however they spell requests."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from front.response_cache import KEY, MAX_SPELLINGS, CachedResponse, ResponseCache
from services.answers import Freshness, Provenance
from services.cache.policies import STALE_REPLY_TTL

NOW = 1_800_000_000.0
MAX_BYTES = 200_000
POSTS = "/top-posts?time_range=7d&limit=3"
# Each makes the n-th spelling of one request, or the n-th of many requests.
SPELLINGS = {
    "accept": lambda n: {"HTTP_ACCEPT": f"image/x-{n}, */*"},
    "long accept": lambda n: {"HTTP_ACCEPT": f"image/x-{n}, " + "a/b, " * 700},
    "accept csv": lambda n: {"HTTP_ACCEPT": f"text/csv;q=0.{n + 1}"},
    "order": lambda n: {"QUERY_STRING": "&".join(f"p{(n + i) % 50}=1" for i in range(50))},
    "escapes": lambda n: {
        "QUERY_STRING": "".join(f"%{ord(c):02X}" if n >> i & 1 else c for i, c in enumerate("limits"))
    },
    "separators": lambda n: {"QUERY_STRING": "limit=3" + "&" * n},
    "long separators": lambda n: {"QUERY_STRING": "limit=3" + "&" * (7_000 - n)},
}
REQUESTS = {
    "short paths": lambda n: {"PATH_INFO": f"/a/{n}"},
    "long paths": lambda n: {"PATH_INFO": f"/a/{n}" + "x" * 3_000},
    "long queries": lambda n: {"QUERY_STRING": f"metrics={n}" + ",reach" * 1_000},
    "long spellings": lambda n: {"PATH_INFO": f"/a/{n // 16}", "QUERY_STRING": f"a={'b' * n}%62{'b' * (900 - n)}"},
    "many parameters": lambda n: {"QUERY_STRING": f"first={n}" + "".join(f"&p{i}=" for i in range(90))},
}


def environ(more):
    return {"PATH_INFO": "/top-posts", "QUERY_STRING": "limit=3", "HTTP_ACCEPT": "*/*"} | more


def reply(size=300, accounts=("17841400000000001",), *, stale=False):
    freshness = Freshness(fetched_at=NOW, expires_at=NOW + 3600, stale=stale)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(size)), ("ETag", '"0123456789ab"')]
    return CachedResponse.of(Provenance(frozenset(accounts), freshness), headers, bytes(size), now=NOW)


def use(cache, requests, times):
    """Send each of the requests twice; return by how many bytes the memory of this process has grown."""
    ResponseCache(MAX_BYTES).get(environ(requests(0)), NOW)  # The tables that Python makes with the first escape.
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(times):
            if cache.get(environ(requests(n)), NOW) is None:
                cache.put(environ(requests(n)), reply())
            cache.get(environ(requests(n)), NOW)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", SPELLINGS)
def test_spellings_of_one_request_lead_to_one_reply_and_stay_bounded(kind):
    cache = ResponseCache(MAX_BYTES)

    grown = use(cache, SPELLINGS[kind], 40)

    assert grown < 60_000
    assert cache.bytes_used < 60_000


@pytest.mark.parametrize("kind", REQUESTS)
def test_the_bound_holds_for_the_memory_that_the_replies_really_take(kind):
    cache = ResponseCache(MAX_BYTES)

    grown = use(cache, REQUESTS[kind], 150)

    assert MAX_BYTES / 2 < cache.bytes_used <= MAX_BYTES
    assert grown <= MAX_BYTES


def test_spellings_push_out_the_oldest_replies_once_the_bound_is_reached():
    cache = ResponseCache(MAX_BYTES)
    for n in range(300):
        request = REQUESTS["short paths"](n)
        cache.put(environ(request), reply())
        for spelling in range(20):
            assert cache.get(environ(request | {"HTTP_ACCEPT": f"image/{spelling}" + "x" * 900}), NOW) is not None
        assert cache.bytes_used <= MAX_BYTES

    assert cache.get(environ(REQUESTS["short paths"](299)), NOW) is not None
    assert cache.get(environ(REQUESTS["short paths"](0)), NOW) is None


def test_a_reply_that_is_larger_than_the_bound_pushes_out_no_other():
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({}), reply())
    used = cache.bytes_used

    cache.put(environ({"PATH_INFO": "/large"}), reply(MAX_BYTES))

    assert cache.bytes_used == used
    assert cache.get(environ({"PATH_INFO": "/large"}), NOW) is None
    assert cache.get(environ({}), NOW) is not None


def test_the_headers_of_a_reply_count():
    plain, long = ResponseCache(MAX_BYTES), ResponseCache(MAX_BYTES)
    plain.put(environ({}), reply())
    with_header = reply()
    with_header.fixed_headers.append(("Link", "x" * 5_000))

    long.put(environ({}), with_header)

    assert long.bytes_used > plain.bytes_used + 5_000


def test_what_is_dropped_is_no_longer_counted():
    cache = ResponseCache(MAX_BYTES)
    for n in range(20):
        for accept in ("", "a/b", "text/csv, c/d"):
            request = environ({"PATH_INFO": f"/{n}", "HTTP_ACCEPT": accept})
            if cache.get(request, NOW) is None:
                cache.put(request, reply(accounts=[str(n % 2), "shared"]))
            cache.get(request, NOW)
    full = cache.bytes_used
    targets = [f"/{n}?limit=3" for n in range(20)]
    found = [sum(map(cache.has_target, targets))]

    cache.invalidate("0")
    half = cache.bytes_used
    found.append(sum(map(cache.has_target, targets)))
    for n in range(20):
        cache.get(environ({"PATH_INFO": f"/{n}", "HTTP_ACCEPT": "a/b"}), NOW + 3600)  # Expired.
    cache.invalidate("shared")

    assert full > half > 0
    assert cache.bytes_used == 0
    assert [*found, sum(map(cache.has_target, targets))] == [20, 10, 0]


@pytest.mark.parametrize(
    "headers",
    [
        lambda n: {"Accept": f"image/x{n}" + ", a/b" * 700},
        lambda n: {"Accept-Encoding": f"x{n}" + ", gzip" * 600},
        lambda n: {"X-Request-Id": f"{n}-" + "x" * 100},
        lambda n: {"If-None-Match": f'"{n}"' + ', "a"' * 800},
        lambda n: {"If-Modified-Since": f"{n}" + "x" * 3_000},
        lambda n: {"Cookie": f"{n}=" + "x" * 3_000},
    ],
    ids=["Accept", "Accept-Encoding", "X-Request-Id", "If-None-Match", "If-Modified-Since", "Cookie"],
)
def test_no_header_makes_a_second_reply_of_one_that_is_cached(world, headers):
    first = world.get(POSTS)
    world.get(POSTS)
    front = world.client.application.wsgi_app
    used = front.cached_bytes

    replies = [world.get(POSTS, headers=headers(n)) for n in range(90)]

    assert {reply.data for reply in replies} == {first.data}
    assert {reply.headers["Cache-Status"].split(";")[1] for reply in replies} == {" hit"}
    assert front.cached_bytes <= used + 16 * 1_500
    assert used > len(first.data)


def test_origins_that_are_refused_take_no_room(world):
    world.get(POSTS)
    front = world.client.application.wsgi_app
    used = front.cached_bytes

    replies = [world.get(POSTS, headers={"Origin": f"https://{n}.example"}) for n in range(90)]

    assert {reply.status_code for reply in replies} == {403}
    assert front.cached_bytes == used


def test_csv_and_json_of_a_request_are_one_reply_each_however_they_are_asked_for(world):
    accepts = [None, "*/*", "application/json", "text/csv", "text/csv, */*;q=0.1", "text/*", "a/b", "text/csv;q=0.5"]
    for _ in range(2):
        bodies = [world.get(POSTS, headers={"Accept": accept} if accept else {}).data for accept in accepts]

    assert len(set(bodies)) == 2
    assert world.client.application.wsgi_app.cached_bytes < 2 * (len(bodies[0]) + 2_000) + 10_000


def test_further_spellings_of_a_request_are_parsed_each_time_and_take_no_room():
    cache, used = ResponseCache(MAX_BYTES), []
    cache.put(environ({}), reply())

    for n in range(2 * MAX_SPELLINGS):
        assert cache.get(environ({"HTTP_ACCEPT": f"image/x-{n:02}, */*"}), NOW) is not None
        used.append(cache.bytes_used)

    assert used[MAX_SPELLINGS - 2] < used[MAX_SPELLINGS - 1] == used[-1]


class DroppedMeanwhile:
    """The lock of a cache, before which another thread drops the replies of an account."""

    def __init__(self, cache):
        self._cache, self._lock, self._is_first = cache, cache._lock, True

    def __enter__(self):
        if self._is_first:
            self._is_first = False
            self._cache.invalidate("17841400000000001")
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def test_a_new_spelling_of_a_reply_that_is_dropped_meanwhile_takes_no_room(monkeypatch):
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({}), reply())
    monkeypatch.setattr(cache, "_lock", DroppedMeanwhile(cache))

    assert cache.get(environ({"HTTP_ACCEPT": "image/x-1, */*"}), NOW) is not None
    assert cache.bytes_used == 0


class AddedMeanwhile(DroppedMeanwhile):
    """The lock of a cache, before which another thread asks for the same in the same spelling."""

    def __enter__(self):
        if self._is_first:
            self._is_first = False
            self._cache.get(environ({"HTTP_ACCEPT": "image/x-1, */*"}), NOW)
        self._lock.acquire()


def test_a_new_spelling_that_another_thread_adds_meanwhile_takes_its_room_once(monkeypatch):
    cache, other = ResponseCache(MAX_BYTES), ResponseCache(MAX_BYTES)
    for each in (cache, other):
        each.put(environ({}), reply())
    other.get(environ({"HTTP_ACCEPT": "image/x-1, */*"}), NOW)
    monkeypatch.setattr(cache, "_lock", AddedMeanwhile(cache))

    cache.get(environ({"HTTP_ACCEPT": "image/x-1, */*"}), NOW)

    assert cache.bytes_used == other.bytes_used


def test_a_request_with_too_many_parameters_is_not_parsed():
    many, few = (environ({"QUERY_STRING": "&".join(["a=1"] * number)}) for number in (5_000, 2))

    assert [ResponseCache(MAX_BYTES).get(each, NOW) for each in (many, few)] == [None, None]
    assert (KEY in many, KEY in few) == (False, True)


def test_a_target_is_ready_for_those_only_who_have_its_replies():
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({}), reply(), scope="a")
    cache.get(environ({}), NOW, scope="a")

    assert [cache.has_target("/top-posts?limit=3", scope=scope) for scope in ("a", "b", "")] == [True, False, False]


@pytest.mark.parametrize("query", ["limit=3", "limit=3&format=json"])
def test_a_reply_answers_those_only_who_may_see_the_same_accounts(query):
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({"QUERY_STRING": query}), reply(), scope="a")

    found = [cache.get(environ({"QUERY_STRING": query}), NOW, scope=scope) is not None for scope in ("a", "b", "")]

    assert found == [True, False, False]


def test_the_least_recently_used_reply_goes_first():
    def use(cache, path):
        if cache.get(environ({"PATH_INFO": path}), NOW) is None:
            cache.put(environ({"PATH_INFO": path}), reply())
        return cache.get(environ({"PATH_INFO": path}), NOW)

    measured = ResponseCache(MAX_BYTES)
    use(measured, "/a")
    cache = ResponseCache(4 * measured.bytes_used)
    for path in ("/a", "/b", "/c", "/d", "/a"):
        assert use(cache, path)

    use(cache, "/e")

    paths = ("/a", "/b", "/c", "/d", "/e")
    assert [path for path in paths if cache.get(environ({"PATH_INFO": path}), NOW)] == ["/a", "/c", "/d", "/e"]


def test_a_reply_is_not_cached_beyond_the_second_in_which_it_expires():
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({}), reply())

    assert cache.get(environ({}), NOW + 3599.9) is not None
    assert cache.get(environ({}), NOW + 3600) is None
    assert cache.bytes_used == 0


def test_the_age_of_a_reply_grows_by_the_second():
    response = reply()

    ages = [dict(response.headers(NOW + seconds))["Age"] for seconds in (0, 0.9, 1, 5)]

    assert ages == ["0", "0", "1", "5"]


def test_a_change_of_any_account_that_a_reply_shows_drops_it():
    cache = ResponseCache(MAX_BYTES)
    for account in ("1", "2", "3"):
        cache.put(environ({}), reply(accounts=("1", "2")))
        cache.invalidate(account)
        assert (cache.get(environ({}), NOW) is None) is (account != "3")


def test_a_stale_reply_is_cached_for_moments_only():
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({}), reply(stale=True))

    assert cache.get(environ({}), NOW + STALE_REPLY_TTL - 0.1) is not None
    assert cache.get(environ({}), NOW + STALE_REPLY_TTL) is None


@pytest.mark.parametrize(("lifetime", "seconds"), [(3600, 60), (10, 10)])
def test_a_reply_without_its_username_is_cached_for_a_minute_at_most(lifetime, seconds):
    freshness = Freshness(fetched_at=NOW, expires_at=NOW + lifetime, stale=False)
    provenance = Provenance(frozenset({"1"}), freshness, complete=False)
    cache = ResponseCache(MAX_BYTES)
    cache.put(environ({}), CachedResponse.of(provenance, [("ETag", '"0"')], b"", now=NOW))

    assert [cache.get(environ({}), NOW + after) is not None for after in (seconds - 0.1, seconds)] == [True, False]


def test_a_refreshed_reply_answers_requests_without_refresh_and_no_request_with():
    cache, refresh = ResponseCache(MAX_BYTES), environ({"QUERY_STRING": "limit=3&refresh=true"})
    cache.put(refresh, reply())

    assert cache.get(environ({}), NOW) is not None
    assert cache.get(refresh, NOW) is None
