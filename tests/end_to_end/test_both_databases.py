"""The same requests at the same moment get the same replies over SQLite files and over PostgreSQL."""

from __future__ import annotations

import re

from services.accounts.token_encryption import TokenEncryption, new_key
from services.background.job_schedule import POSTS_OF, SNAPSHOT_OF, STORIES_OF
from services.store.accounts import AccountRow
from services.store.ledger import Order
from services.store.stories import POLLING, WEBHOOK, StoryNumber, StoryRow
from tests.history.transfer.history_rows import fill
from tests.stores import new_english_store, new_store
from tests.world import WorldWorker

ADDED = "17841400000000777"
TOKEN_KEY = new_key()
OF_A_DATE = "since=2025-11-01&until=2025-11-20"  # of rows that have odd names, numbers and texts
ODD = "Reach1,re-ach2,re_ach3"
PATHS = (
    *(f"/history?metrics={ODD},followers,follows,media_count&{OF_A_DATE}{more}" for more in ("", "&format=csv")),
    *(f"/history?metrics=views,reach,followers&limit=9&interval={interval}" for interval in ("day", "week", "month")),
    "/history?metrics=follower_demographics,total_interactions&limit=5&breakdown=age",
    "/history?metrics=of_no_metric",
    f"/history?metrics={ODD}&breakdown=of_no_metric",
    "/export",
    "/export?format=csv",
    "/export?metrics=of_no_metric",
    "/export?metrics=views,reach,likes&since=2025-11-05",
    f"/export?account={ADDED}&{OF_A_DATE}",
    "/growth-trends?period=7d",
    "/growth-trends?period=30d&until=complete&format=csv",
    *(f"/top-posts?time_range=30d&limit=50&by={by}" for by in ("engagement_score", "saved", "reach&format=csv")),
    "/stories",
    "/stories?since=2025-11-01&until=2026-11-30",
    "/stories?since=2025-11-01&until=2025-12-30&limit=3",
    "/stories?format=csv",
    "/posting-times",
    "/formats?format=csv",
    "/account-insights?period=days_28&metrics=views,reach&breakdown=media_product_type",
    "/audience",
    "/accounts",
    "/accounts?format=csv",
    "/performance-data?url=nasa",
    "/performance-data?url=of_nasa&format=csv",
    "/performance-data?url=Of.Nasa&dry_run=true",
    "/performance-data/history?url=nasa",
    "/credits",
    "/quota",
    "/status",
    "/readyz",
)


def keep_more(world):
    """Keep what the simulator has no like of: odd rows of two accounts, and numbers that came in another order."""
    store = world.services.store
    sealed = TokenEncryption([TOKEN_KEY], learn=lambda _: None).seal("EAAbakeryTOKENofANaccount000")
    store.accounts.put(AccountRow(ADDED, "bakery", "facebook", "", sealed, 1.0))
    fill(store, accounts=(ADDED, world.account["id"]))
    began = world.clock.timestamp() - 90_000
    for names in (("views", "taps_forward"), ("taps_back", "reach", "exits", "impressions")):
        numbers = [StoryNumber(name, "", source, 7, None, began) for name in names for source in (WEBHOOK, POLLING)]
        store.stories.keep(world.account["id"], [StoryRow("18001", began, began, numbers=numbers)])
    for caller in ("Zebra", "apple", "_key"):
        order = Order("modash", f"of.{caller}", caller, 1000, 9000, longest_call=60.0, max_retries=3)
        store.ledger.open(order, lambda *_: None)
    with store.databases[1].write() as connection:
        connection.exec_driver_sql("ANALYZE")  # PostgreSQL knows then that most tables are small, and uses no index.


def replies(world):
    """What a gateway answers after its worker has read everything once, and once more from what it has then."""
    worker = WorldWorker(world, SNAPSHOT_OF, POSTS_OF, STORIES_OF)
    for kind in worker.kinds:
        worker.services.store.jobs.put(kind, world.account["id"], due_at=world.clock.timestamp())
    worker.run()
    keep_more(world)
    world.advance(seconds=2)
    posts = world.services.store.posts.between(world.account["id"], 0.0, world.clock.timestamp())
    found = {}
    for path in (*PATHS, *(f"/history/posts/{post.id}" for post in posts[:2])):
        for turn in (1, 2):
            world.settle()
            response = world.get(path)
            text = re.sub(r'"request_id":"\w+"', "", response.get_data(as_text=True))
            headers = {name: value for name, value in response.headers.items() if name != "X-Request-Id"}
            found[path, turn] = response.status_code, headers, text
    return found


def test_the_replies_do_not_depend_on_the_database(simulator, make_world):
    found = []
    for new in (lambda: new_store("sqlite"), new_english_store):
        simulator.post("/_simulator/reset")
        with new() as store:
            world = make_world("ordinary", BACKFILL_DAYS="0", TOKEN_KEY=TOKEN_KEY, **store)
            found.append(replies(world))
            world.services.close()
    of_files, of_server = found

    assert {path: reply for path, reply in of_server.items() if reply != of_files[path]} == {}
    assert {status for status, _, _ in of_files.values()} == {200, 400}
