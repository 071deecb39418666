"""A failure that concerns the whole account ends a request's calls: what has not begun is not sent."""

from __future__ import annotations

from datetime import date

import pytest
import responses

from services.days import midnight
from tests.planners import plan_insights
from tests.support import ACCOUNT_ID, GRAPH, graph_error

INSIGHTS = f"{GRAPH}/v25.0/{ACCOUNT_ID}/insights"
DAYS = 28  # each a call of its own
AHEAD = 4  # calls that go out before the others


@pytest.mark.parametrize("code", [200, 3])
def test_the_other_calls_of_a_request_are_not_sent(client, wire, code):
    wire.add(responses.GET, INSIGHTS, json=graph_error(code), status=400)

    response = client.get(f"/account-insights?period=day&metrics=views&since=2026-05-01&until=2026-05-{DAYS}")

    assert response.status_code == 403
    assert 1 <= len(wire.calls) <= AHEAD


def test_of_several_failures_one_that_does_not_pass_is_the_reply(client, wire):
    older = midnight(date(2026, 6, 13))
    plan_insights(wire, lambda query: (500, graph_error(2)) if int(query["since"]) == older else (400, graph_error(10)))

    response = client.get("/account-insights?period=day&metrics=views&since=2026-06-13&until=2026-06-14")

    assert (response.status_code, response.get_json()["code"]) == (403, "permission_denied")
