"""How posts grew, posting times and formats: from kept posts alone, the truth recomputed here, honest where few."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import pytest

from services.answers import Origin
from services.clients.graph.models import Account
from services.posts import kept_posts
from services.posts.ages import FIXED_AGES, slot_of
from services.store.posts import COUNTS, INSIGHTS, PartRow, PostRow
from services.store.stories import POLLING, TOTAL, StoryNumber, StoryRow
from tests.planners import body_of, plan_posts
from tests.planners import post as listed_post
from tests.posts.reading import post_worker
from tests.support import ACCOUNT_ID, TOKEN, NoConnections, table_rows, utc

HOUR, DAY = 3600.0, 86_400.0
BERLIN = ZoneInfo("Europe/Berlin")  # whose clocks changed within the period
CELL_FLOOR, FORMAT_FLOOR = 3, 5


def rows_of(response):
    assert response.status_code == 200
    return table_rows(response)


def typical(values, floor):
    known = [value for value in values if value is not None]
    return median(known) if len(known) >= floor else None


# Against the truth


def looked(make_world):
    """A world after the first look of its worker, with the true posts of a week and more of age."""
    world = make_world("ordinary")
    post_worker(world).run()
    now = world.clock.timestamp()
    posts = world.truth(insights="true", since="2026-08-24")["posts"]
    old = [each for each in posts if datetime.fromisoformat(each["timestamp"]).timestamp() <= now - 7 * DAY]
    world.calls()
    return world, old


def test_posting_times_and_formats_are_those_of_the_true_posts(make_world):
    world, posts = looked(make_world)
    assert_posting_times(world, posts)
    assert_formats(world, posts)


def assert_posting_times(world, posts):
    body = world.body("/posting-times?period=80d&tz=Europe/Berlin")

    assert world.calls() == []
    assert body["tz"] == "Europe/Berlin"
    assert [(cell["weekday"], cell["hour"]) for cell in body["cells"]] == [
        (day, hour) for day in range(1, 8) for hour in range(24)
    ]
    first = datetime.fromisoformat(body["meta"]["window"]["since"]).timestamp()
    compared = [each for each in posts if datetime.fromisoformat(each["timestamp"]).timestamp() >= first]
    assert body["meta"]["posts"]["compared"] == sum(cell["posts"] for cell in body["cells"]) == len(compared) > 100
    shown = {(cell["weekday"], cell["hour"]): cell for cell in body["cells"]}
    cells = defaultdict(list)
    for post in compared:
        local = datetime.fromisoformat(post["timestamp"]).astimezone(BERLIN)
        cells[local.isoweekday(), local.hour].append(post["insights"])
    for key, cell in shown.items():
        found = cells.get(key, [])
        assert cell["posts"] == len(found)
        assert cell["median_reach"] == typical([each["reach"] for each in found], CELL_FLOOR)
        rates = [each["total_interactions"] / each["reach"] for each in found if each["reach"]]
        assert cell["median_engagement_rate"] == pytest.approx(typical(rates, CELL_FLOOR))
        assert cell["reason"] == (None if len(found) >= CELL_FLOOR else "too_few_posts" if found else "no_posts")
    assert any(cell["median_reach"] is not None for cell in shown.values())
    assert rows_of(world.get("/posting-times?period=80d&tz=Europe/Berlin&format=csv"))[0].keys() == shown[1, 0].keys()


def assert_formats(world, posts):
    body = world.body("/formats?period=80d")

    assert world.calls() == []
    first = datetime.fromisoformat(body["meta"]["window"]["since"]).timestamp()
    formats = defaultdict(list)
    for post in posts:
        if datetime.fromisoformat(post["timestamp"]).timestamp() >= first:
            product, shape = post["media_product_type"], post["media_type"]
            name = {"REELS": "reels", "AD": "ad"}.get(product) or {"CAROUSEL_ALBUM": "carousels"}.get(shape, "posts")
            formats[name].append(post["insights"])
    assert [each["format"] for each in body["formats"]] == ["posts", "reels", "carousels", "stories", "ad"]
    for shown in body["formats"]:
        found = formats.get(shown["format"], [])
        assert shown["posts"] == len(found)
        expected = {
            "median_reach": [each["reach"] for each in found],
            "median_views": [each["views"] for each in found],
            "engagement_rate": [each["total_interactions"] / each["reach"] for each in found if each["reach"]],
            "saves_per_1000_views": [each["saved"] * 1000 / each["views"] for each in found if each["views"]],
            "sends_per_reach": [each["shares"] / each["reach"] for each in found if each["reach"]],
        }
        for name, values in expected.items():
            assert shown[name] == pytest.approx(typical(values, FORMAT_FLOOR)), (shown["format"], name)
        assert (shown["reason"] is None) == (len(found) >= FORMAT_FLOOR)
    assert body["meta"]["stories"] == {"kept": 0, "compared": 0}
    assert [row["format"] for row in rows_of(world.get("/formats?period=80d&format=csv"))][:2] == ["posts", "reels"]


# What is kept


@pytest.fixture
def table(client):
    return client.application.extensions["services"].store.posts


def test_a_post_is_kept_as_it_was_listed_last_and_its_likes_at_the_fixed_ages(client, wire, table, clock, monkeypatch):
    for caption in ("one", "one", "two", "two", "two"):
        plan_posts(wire, [listed_post("1", "2026-06-15T17:00:00+0000", caption=caption)])

    def listed(hours):
        clock.wait(utc("2026-06-15T17:00").timestamp() + hours * HOUR - clock.timestamp())
        body_of(client, "/top-posts", time_range="30d", refresh="true")
        return client.get(f"/history/posts/1?account={ACCOUNT_ID}").get_json()

    with monkeypatch.context() as without:
        without.setattr(table._database, "_connections", NoConnections())
        listed(1)
    kept, changed, seen_again, of_a_week = [listed(hours) for hours in (1.1, 1.2, 80, 168)]

    assert [each["post"]["caption"] for each in (kept, changed)] == ["one", "two"]
    assert seen_again["post"]["last_seen_at"] == "2026-06-19T01:00:00Z"
    assert {point["fixed_age"]: point["likes"] for point in of_a_week["points"]}[168] == 1


def test_a_post_that_hides_its_likes_says_so_of_itself(client, wire):
    plan_posts(wire, [listed_post("1", "2026-06-15T17:00:00+0000", like_count=None)])
    body_of(client, "/top-posts", time_range="30d")

    body = body_of(client, f"/history/posts/1?account={ACCOUNT_ID}")

    assert [point["reasons"]["likes"] for point in body["points"]] == ["likes_hidden"]
    (message,) = [each["message"] for each in body["meta"]["unavailable"] if each["reason"] == "likes_hidden"]
    assert message.startswith("The owner hides the likes of the post")


def test_so_many_kept_posts_are_known_without_a_statement_as_there_is_room_for(table, clock, monkeypatch, statements):
    monkeypatch.setattr(kept_posts, "MAX_NOTED", 2)
    kept = kept_posts.KeptPosts(table, keep_days=0, origin=Origin("instagram"), clock=clock)
    written = []
    for name, caption in ("a1", "b1", "a1", "b1", "a2", "c1", "a2", "b1"):
        statements.clear()
        kept.saw(Account(ACCOUNT_ID, TOKEN), [listed_post(name, "2026-06-01T12:00:00+0000", caption=caption)])
        written += [name + caption] if statements else []

    # The post a has changed after b, so b makes room for c.
    assert written == ["a1", "b1", "a2", "c1", "b1"]


def keep(table, name, posted_at, ages, *, values=None, counts=True, **more):
    """Keep a post with its readings at some ages in hours; its numbers are its ages unless they are given."""
    rows, of_counts = [], []
    for age in ages:
        slot, read_at = slot_of(age * HOUR), posted_at + age * HOUR
        numbers = dict.fromkeys(INSIGHTS, int(age)) | (values or {})
        reasons = {each: "media_too_old" for each, number in numbers.items() if number is None}
        rows.append(PartRow(name, slot.minutes, slot.age_label, read_at, numbers, reasons, "instagram", "v25.0"))
        likes = dict.fromkeys(COUNTS, int(age) + 1)
        of_counts.append(PartRow(name, slot.minutes, slot.age_label, read_at, likes, {}, "instagram", "v25.0"))
    post = PostRow(name, posted_at, media_product_type="FEED", first_seen_at=posted_at, last_seen_at=posted_at, **more)
    table.keep(ACCOUNT_ID, [post], counts=of_counts if counts else (), insights=rows)


def test_how_a_post_grew_has_true_ages_and_gaps_and_the_medians_of_the_others(client, table, clock):
    posted = clock.timestamp() - 7 * DAY
    keep(table, "1", posted, [1, 2.5, 6.5, 24, 90])
    for name in range(2, 8):
        keep(table, str(name), posted - name * DAY, [1, 24], values={"reach": 100 * name}, counts=name > 3)
    keep(table, "8", posted - 100 * DAY, [1], values={"reach": 9_999})

    body = body_of(client, f"/history/posts/1?account={ACCOUNT_ID}")

    points = {(point["age_hours"], point["fixed_age"]): point for point in body["points"]}
    assert list(points) == [(1, 1), (2.5, None), (6.5, 6), (24, 24), (72, 72), (90, None), (168, 168)]
    assert {points[1, 1][name] for name in INSIGHTS} == {1}
    assert (points[6.5, 6]["likes"], points[6.5, 6]["reasons"]) == (7, {})
    gap = points[72, 72]
    assert (gap["at"], gap["reach"], set(gap["reasons"].values())) == (None, None, {"not_read_at_age"})
    medians = {each["age_hours"]: each for each in body["account_median"]}
    assert list(medians) == list(FIXED_AGES)
    assert (medians[1]["posts"], medians[1]["reach"], medians[24]["views"]) == (6, 450, 24)
    assert (medians[1]["likes"], medians[1]["reasons"]) == (
        None,
        {"likes": "too_few_posts", "comments": "too_few_posts"},
    )
    assert medians[168]["reasons"]["reach"] == "no_posts"
    assert body["meta"]["compared_with"]["posts"] == 6
    assert {"too_few_posts", "not_read_at_age", "no_posts"} == {each["reason"] for each in body["meta"]["unavailable"]}
    table_rows = rows_of(client.get(f"/history/posts/1?account={ACCOUNT_ID}&format=csv"))
    assert [row["row"] for row in table_rows] == ["post"] * 7 + ["account_median"] * 6


def test_a_post_is_compared_with_those_of_90_days_before_and_after(client, table, clock):
    posted = clock.timestamp() - 200 * DAY
    for name, days in enumerate([0, -91, -89, 89, 91]):
        keep(table, f"1{name}", posted + days * DAY, [24])

    body = body_of(client, f"/history/posts/10?account={ACCOUNT_ID}")

    compared = body["meta"]["compared_with"]
    assert (compared["posts"], [each["posts"] for each in body["account_median"] if each["posts"]]) == (2, [2])
    assert (compared["since"], compared["until"]) == ("2025-08-29T18:00:00Z", "2026-02-25T18:00:00Z")


def test_likes_that_were_not_read_with_the_insights_say_so(client, table, clock):
    keep(table, "1", clock.timestamp() - 2 * HOUR, [1], counts=False)

    (point,) = body_of(client, f"/history/posts/1?account={ACCOUNT_ID}")["points"]

    assert (point["reach"], point["reasons"]) == (1, dict.fromkeys(COUNTS, "not_read_at_age"))


def test_posts_are_compared_by_their_first_reading_of_a_week_or_more(client, table, clock):
    now = clock.timestamp()
    for name in range(5):
        keep(table, f"1{name}", now - (20 + name) * DAY, [24, 168, 300, 470])
    keep(table, "20", now - 20 * DAY, [24])
    keep(table, "21", now - 6 * DAY, [24])
    keep(table, "22", now - 200 * DAY, [168], values={"reach": 9_999})
    keep(table, "23", now - 20 * DAY, [400], values=dict.fromkeys(INSIGHTS))
    keep(table, "24", now - 7 * DAY, [168])

    posts = body_of(client, f"/formats?account={ACCOUNT_ID}")

    shown = posts["formats"][0]
    assert (shown["format"], shown["posts"], shown["median_reach"], shown["engagement_rate"]) == ("posts", 7, 168, 1)
    assert posts["meta"]["posts"] == {"kept": 9, "compared": 7, "too_young": 1, "not_read": 1}
    assert (posts["meta"]["fetched_at"], posts["meta"]["expires_at"]) == (
        "2026-06-15T18:00:00Z",
        "2026-06-15T18:05:00Z",
    )
    assert posts["meta"]["compared_at"] == {"age_hours": 168, "reading": "first_at_or_after"}


def test_posts_are_not_compared_by_a_reading_of_likes_and_comments_alone(client, table, clock):
    posted, slot = clock.timestamp() - 20 * DAY, slot_of(200 * HOUR)
    likes = dict.fromkeys(COUNTS, 3)
    for name in "12345":
        keep(table, name, posted, [300])
        table.keep(ACCOUNT_ID, [], counts=[PartRow(name, *slot, posted + 200 * HOUR, likes, {}, "instagram", "v25.0")])

    assert body_of(client, f"/formats?account={ACCOUNT_ID}")["formats"][0]["median_reach"] == 300


def test_a_number_that_too_many_posts_lack_is_unknown_for_their_reason(client, table, clock):
    for name in range(6):
        keep(table, f"1{name}", clock.timestamp() - 20 * DAY, [168], values={"saved": None, "reach": 0})

    shown = body_of(client, f"/formats?account={ACCOUNT_ID}")["formats"][0]

    assert (shown["median_reach"], shown["median_views"], shown["reason"]) == (0, 168, None)
    assert shown["reasons"] == {
        "engagement_rate": "no_reach",
        "saves_per_1000_views": "media_too_old",
        "sends_per_reach": "no_reach",
    }
    times = body_of(client, f"/posting-times?account={ACCOUNT_ID}")
    shown = [(cell["median_reach"], cell["reason"]) for cell in times["cells"] if cell["posts"]]
    assert shown == [(0, "no_reach")]
    assert {(each["metric"], each["reason"]) for each in times["meta"]["unavailable"]} == {
        ("median_reach", "no_posts"),
        ("median_engagement_rate", "no_posts"),
        ("median_engagement_rate", "no_reach"),
    }


@pytest.mark.parametrize(("type_", "posts"), [("FEED", 4), ("REELS", 0), (None, 4)])
def test_posting_times_may_be_those_of_one_type(client, table, clock, type_, posts):
    for name in range(4):
        keep(table, f"1{name}", clock.timestamp() - 20 * DAY, [168])

    query = {"account": ACCOUNT_ID} | ({"media_product_type": type_} if type_ else {})
    cells = body_of(client, "/posting-times", **query)["cells"]

    assert sum(cell["posts"] for cell in cells) == posts


def test_the_format_has_a_reason_only_where_nothing_of_it_is_known(client, table, clock):
    for name in range(5):
        keep(table, f"1{name}", clock.timestamp() - 20 * DAY, [168], values={"reach": None})

    shown = body_of(client, f"/formats?account={ACCOUNT_ID}")["formats"][0]

    assert (shown["median_reach"], shown["median_views"], shown["reason"]) == (None, 168, None)
    assert shown["reasons"]["median_reach"] == "media_too_old"


def test_stories_count_if_they_were_read_until_their_end(client, clock):
    stories, now = client.application.extensions["services"].store.stories, clock.timestamp()
    # The last three: one that is live, one that was deleted, of which its last reading brought nothing, and one that a
    # webhook has reported.
    for name, hours in enumerate([23.9] * 6 + [2, 23.9, 2, 2]):
        posted = now - (0.5 if name == 7 else 3) * DAY
        values, number_at = (
            {"reach": 10 + name, "views": 20, "total_interactions": 5, "shares": 2},
            posted + hours * HOUR,
        )
        numbers = [StoryNumber(metric, TOTAL, POLLING, value, None, number_at) for metric, value in values.items()]
        read_at = posted + (23.9 if name == 8 else hours) * HOUR
        reported = posted + 25 * HOUR if name == 9 else None
        row = StoryRow(str(name), posted, created_at=posted, read_at=read_at, delivered_at=reported, numbers=numbers)
        stories.keep(ACCOUNT_ID, [row])

    body = body_of(client, f"/formats?account={ACCOUNT_ID}")

    shown = next(each for each in body["formats"] if each["format"] == "stories")
    assert (shown["posts"], shown["median_reach"], shown["median_views"]) == (7, 12.5, 20)
    assert shown["reasons"] == {"saves_per_1000_views": "not_for_product_type"}
    assert body["meta"]["stories"] == {"kept": 10, "compared": 7}


def test_a_number_of_a_story_that_its_last_reading_did_not_bring_is_unknown(client, clock):
    stories, posted = client.application.extensions["services"].store.stories, clock.timestamp() - 3 * DAY
    for name in range(5):
        ages = {"reach": 23.9, "views": 2, "total_interactions": 23.9, "shares": 23.9}
        numbers = [StoryNumber(each, TOTAL, POLLING, 20, None, posted + age * HOUR) for each, age in ages.items()]
        row = StoryRow(str(name), posted, created_at=posted, read_at=posted + 23.9 * HOUR, numbers=numbers)
        stories.keep(ACCOUNT_ID, [row])

    shown = body_of(client, f"/formats?account={ACCOUNT_ID}")["formats"][3]

    assert (shown["posts"], shown["median_reach"], shown["median_views"]) == (5, 20, None)
    assert shown["reasons"]["median_views"] == "not_read_at_age"


@pytest.mark.parametrize("path", ["/posting-times", "/formats"])
def test_an_account_without_kept_posts_gets_an_empty_answer_with_the_next_step(client, path):
    body = body_of(client, f"{path}?account={ACCOUNT_ID}")

    (warning,) = body["meta"]["warnings"]
    assert warning["code"] == "no_kept_posts"
    assert "make worker" in warning["message"]
    assert {each["reason"] for each in body.get("cells", body.get("formats"))} == {"no_posts"}
    assert body["meta"]["source"] == "history"


def test_a_post_that_is_not_kept_is_404_and_a_young_one_is_no_comparison(client, table, clock):
    assert client.get(f"/history/posts/99?account={ACCOUNT_ID}").get_json()["code"] == "object_not_found"
    keep(table, "1", clock.timestamp() - timedelta(days=2).total_seconds(), [24])

    (warning,) = body_of(client, f"/posting-times?account={ACCOUNT_ID}")["meta"]["warnings"]

    assert warning["code"] == "no_posts_compared"
