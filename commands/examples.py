"""`make examples`: records the examples of the OpenAPI document, against a simulator whose clock stands still."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from app import create_app
from commands.isolation import isolate_this_process, isolated
from commands.migrate import migrate
from config import Config
from routes.documentation import EXAMPLES
from services.clock import Clock

PORT = 18_801
NOW = datetime(2026, 6, 15, 18, tzinfo=UTC)
REQUEST_ID = "an-example"
REQUESTS = {
    "account_insights": {
        "documented": "/account-insights?period=day&metrics=impressions,reach&since=2026-06-10&until=2026-06-11",
        "breakdown": "/account-insights?period=week&metrics=views,email_contacts&breakdown=follow_type",
        "beyond_retention": "/account-insights?period=day&metrics=impressions,reach&since=1630454400&until=1630540800",
    },
    "growth_trends": {
        "documented": "/growth-trends?period=30d",
        "all": "/growth-trends?period=7d&metrics=reach,views,interactions,posts",
    },
    "compare": {"documented": "/compare?accounts=17841400000000000,unknown.account&period=7d"},
    "top_posts": {"documented": "/top-posts?limit=3&time_range=7d"},
    "api_instagram_insights_media_id": {
        "documented": "/api/instagram/insights/18000001535000768?media_type=FEED",
        "metrics": "/api/instagram/insights/18000001535010209?metrics=views,likes,comments",
        "removed": "/api/instagram/insights/18000001535010209?metrics=plays,impressions,clips_replays_count,engagement",
    },
    "api_instagram_insights_media_id_profile_activity": {
        "documented": "/api/instagram/insights/18000001535000768/profile-activity",
    },
    "api_instagram_insights_story_id_navigation": {
        "not_a_story": "/api/instagram/insights/18000001535000768/navigation",
    },
    "api_instagram_insights_metrics_media_type": {"documented": "/api/instagram/insights/metrics/story"},
    "api_instagram_insights_test": {
        "kept_token": "/api/instagram/insights/test?media_id=18000001535000768",
    },
    "performance_data": {
        "documented": "/performance-data?url=nasa",
        "link": "/performance-data?url=https://www.instagram.com/nasa/",
        "retry_later": "/performance-data?url=later.example",
    },
    "audience": {"documented": "/audience?metrics=follower_demographics,online_followers&breakdown=age&days=1"},
    "history": {
        "documented": "/history?metrics=followers,views&since=2026-06-10&until=2026-06-15",
        "week": "/history?metrics=views,reach&interval=week&since=2026-06-01&until=2026-06-14",
    },
    "formats": {"documented": "/formats?period=90d"},
    "history_posts_post_id": {"documented": "/history/posts/18000001535000768"},
    "healthz": {"sandbox": "/healthz"},
}


class StandingClock(Clock):
    """A clock that always shows the moment of the examples."""

    def timestamp(self) -> float:
        """Return the moment of the examples."""
        return NOW.timestamp()


def main() -> int:
    """Write one file for each endpoint."""
    argparse.ArgumentParser(prog="make examples", description=__doc__).parse_args()
    isolate_this_process()
    with standing_simulator(PORT):
        for name, recorded in record(PORT).items():
            text = json.dumps(recorded, indent=2, ensure_ascii=False)
            (EXAMPLES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return 0


@contextmanager
def standing_simulator(port: int) -> Iterator[None]:
    """Run a simulator whose clock stands still at the moment of the examples."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", str(port), "--seed", "1"], env=isolated({})
    )
    try:
        for _ in range(100):
            try:
                _post(port, "clock", {"now": NOW.isoformat()})
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        _post(port, "switches", {"modash_rate_limit": 0})
        yield
    finally:
        process.terminate()
        process.wait(10)


def record(port: int) -> dict[str, list[dict[str, Any]]]:
    """Make every request of the examples and return the replies, by the name of the endpoint."""
    recorded: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        # The examples show replies, not how long they take.
        config = Config(simulator_port=port, log_level="WARNING", instance_path=folder, modash_rate=1000.0)
        migrate(config)
        app = create_app(config, clock=StandingClock())
        client, services = app.test_client(), app.extensions["services"]
        for endpoint, requests in REQUESTS.items():
            if endpoint == "formats":
                for account in services.accounts.all():
                    services.post_polling.look(account.id)  # as a worker does
            for name, request in requests.items():
                response = client.get(request, headers={"X-Request-Id": REQUEST_ID})
                answer = {"status": response.status_code, "body": response.get_json()}
                recorded.setdefault(endpoint, []).append({"name": name, "request": request, **answer})
                if endpoint == "performance_data":
                    services.credit_balance.read()  # as a worker does after the first purchase
        services.close()
    return recorded


def _post(port: int, path: str, body: dict[str, object]) -> None:
    request = urllib.request.Request(  # The URL is our own.
        f"http://127.0.0.1:{port}/_simulator/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310


if __name__ == "__main__":
    sys.exit(main())
