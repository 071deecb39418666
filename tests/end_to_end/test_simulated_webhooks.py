"""Webhooks over the wire: the simulator delivers them to the gateway as Meta does, and each change is kept once."""

from __future__ import annotations

import json
import threading

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from simulator import Simulator
from simulator.world.accounts import APP_SECRET, INSTAGRAM_APP_SECRET
from tests.stores import query
from tests.support import VERIFY_TOKEN, settings


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


@pytest.fixture
def gateway(make_client):
    """A gateway that listens, with the simulator's secrets."""
    client = make_client(settings(app_secret=APP_SECRET, instagram_app_secret=INSTAGRAM_APP_SECRET))
    server = make_server("127.0.0.1", 0, client.application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client.url = f"http://127.0.0.1:{server.server_port}"
    yield client
    server.shutdown()
    server.server_close()


@pytest.fixture
def webhooks(gateway):
    """The simulator's webhooks, with the gateway as the callback of both logins."""
    simulator = Simulator(seed=1, accounts=12)
    for login in ("facebook", "instagram"):
        callback = {"callback_url": f"{gateway.url}/webhooks/instagram", "verify_token": VERIFY_TOKEN}
        simulator.webhooks.register({**callback, "login": login, "sending": "call"})
    yield simulator.webhooks
    simulator.stop()


def kept_changes(gateway):
    services, config = (gateway.application.extensions[name] for name in ("services", "config"))
    services.webhook_application.run(seconds=30)
    store = {"INSTANCE_PATH": config.instance_path}
    return sorted(query(store, "gateway", "SELECT account, field, value FROM webhook_changes"))


def happened(webhooks):
    changes = webhooks.changes()["changes"]
    return sorted((one["account"], one["field"], sorted_text(one["value"])) for one in changes)


def sorted_text(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("shape", ["changes", "entry", "mixed"])
def test_each_genuine_change_is_kept_once_and_no_forged_one(gateway, webhooks, shape):
    packing = {"shape": shape, "batch": 3, "duplicates": 0.3, "forged": 0.3, "shuffle": True}
    for login in ("facebook", "instagram"):
        for field in ("comments", "mentions", "story_insights", "hologram_reactions"):
            webhooks.send({"login": login, "field": field, "count": 20, **packing})

    webhooks.run({})

    deliveries = webhooks.deliveries()["deliveries"]
    refused = [delivery["statuses"] for delivery in deliveries if delivery["forgery"]]
    assert len(refused) > 10
    assert all(400 <= status < 500 for [status] in refused)
    assert all(delivery["is_confirmed"] for delivery in deliveries if not delivery["forgery"])
    kept = [(account, field, sorted_text(json.loads(value))) for account, field, value in kept_changes(gateway)]
    # The last values of the same stories were sent to both logins: equal changes are duplicates.
    assert kept == sorted(set(happened(webhooks)))
    assert len(kept) == 2 * 3 * 20 + 20
