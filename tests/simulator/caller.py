"""A caller who speaks HTTP to a simulator, and the Pacific days it asks about."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from simulator.graph.media_metrics import ACCEPTED_FOR_MEDIA

ACCOUNT, TOKEN, PAGE, PAGE_TOKEN = (
    "17841400000000000",
    "EAASANDBOXUSERTOKEN",
    "100000000000000",
    "EAASANDBOXPAGETOKEN",
)
INSTAGRAM_TOKEN = "IGAASANDBOXUSERTOKEN"
KEY = "sandbox-modash-key"
NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC).timestamp()
PACIFIC = ZoneInfo("America/Los_Angeles")
PATIENCE = 60  # seconds; a busy machine takes long for years of an account, and a call that hangs still fails


def midnight(day, plus=0):
    """Return the first second of a Pacific day, or of one some days later."""
    when = date.fromisoformat(day) + timedelta(days=plus)
    return int(datetime(when.year, when.month, when.day, tzinfo=PACIFIC).timestamp())


def day(text):
    """Return the range that is one Pacific day."""
    return {"since": midnight(text), "until": midnight(text, 1) - 1}


def answered(read, login, media):
    """Return the metrics that a media answers, each of them asked alone."""
    return {metric for metric in ACCEPTED_FOR_MEDIA if read(login, media, metric).status_code == 200}


def error(reply):
    """Return the error of a Graph API refusal."""
    return reply.json()["error"]


class Caller:
    """Speaks HTTP to a simulator as one of its accounts."""

    def __init__(self, simulator, session):
        self.simulator, self.session = simulator, session
        self.account, self.token, self.instagram_token = ACCOUNT, TOKEN, INSTAGRAM_TOKEN

    def get(self, path, /, **parameters):
        return self.session.get(
            f"{self.simulator.url}{path}", params=parameters, timeout=PATIENCE, allow_redirects=False
        )

    def graph(self, path, *, version="v25.0", **parameters):
        parameters = {"access_token": self.token, **parameters}
        return self.get(f"/graph.facebook.com/{version}{path}", **parameters)

    def instagram(self, path, *, version="v25.0", **parameters):
        parameters = {"access_token": self.instagram_token, **parameters}
        return self.get(f"/graph.instagram.com/{version}{path}", **parameters)

    def instagram_insights(self, metric, **parameters):
        return self.instagram("/me/insights", **{"metric": metric, "period": "day", **parameters})

    def insights(self, metric, **parameters):
        return self.graph(f"/{self.account}/insights", **{"metric": metric, "period": "day", **parameters})

    def totals(self, metric, **parameters):
        answer = self.insights(metric, metric_type="total_value", **parameters).json()
        return {entry["name"]: entry["total_value"] for entry in answer["data"]}

    def series(self, metric, **parameters):
        answer = self.insights(metric, **parameters).json()
        return {point["end_time"]: point["value"] for entry in answer["data"] for point in entry["values"]}

    def media(self, **parameters):
        return self.graph(f"/{self.account}/media", **parameters)

    def modash(self, handle, *, key=KEY):
        return self.session.get(
            f"{self.simulator.url}/api.modash.io/v1/instagram/performance-data",
            params={"url": handle},
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE,
        )

    def own(self, path, /, **parameters):
        return self.get(f"/_simulator{path}", **parameters).json()

    def order(self, path, /, **body):
        return self.session.post(f"{self.simulator.url}/_simulator{path}", json=body, timeout=PATIENCE)

    def switch(self, **switches):
        assert self.order("/switches", **switches).status_code == 200

    def fault(self, provider, kind, **options):
        reply = self.order("/faults", provider=provider, kind=kind, **options)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def truth(self, **parameters):
        return self.own(f"/truth/{self.account}", **parameters)

    def become(self, kind):
        account = next(each for each in self.own("/accounts")["accounts"] if each["kind"] == kind)
        self.account, self.token = account["id"], account["token"]
        self.instagram_token = account["instagram_token"]
        return account
