"""Five weeks of daily snapshots: growth and the history equal the simulator's truth, recomputed from it alone."""

from __future__ import annotations

from datetime import date, timedelta

from tests.history.worker import HistoryWorker


def days(first, last):
    first, last = date.fromisoformat(first), date.fromisoformat(last)
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def followers_at(world, moment):
    """The true number of followers at a moment of the past."""
    world.simulator.post("/_simulator/clock", {"now": moment})
    found = world.truth(since=moment[:10])["followers_count"]
    world.advance(seconds=0)
    return found


def test_growth_and_history_of_five_weeks_with_an_outage_are_true(make_world):
    world = make_world("ordinary", BACKFILL_DAYS="0")
    worker = HistoryWorker(world)
    worker.run_days(8)
    world.fault("server_error")
    worker.run_days(2)
    world.heal()
    worker.run_days(26)
    world.calls()

    growth = world.body("/growth-trends?period=31d&until=complete&metrics=views,interactions")

    # The last days that are not final yet, and the window before, of which nothing is kept.
    assert len([call for call in world.calls() if "insights" in call]) <= 1 + 2
    trends = {trend["key"]: trend for trend in growth["trends"]}
    followers, coverage = trends["followers"], trends["followers"]["coverage"]
    window, before = followers["window"], trends["views"]["previous_window"]
    since, until = window["since"], window["until"]
    truth = {day["date"]: day["metrics"] for day in world.truth(since=before["since"], until=until)["days"]}
    assert (followers["basis"], followers["approximate"]) == ("history", False)
    assert followers["previous_value"] == followers_at(world, coverage["start_counted_at"])
    assert followers["current_value"] == followers_at(world, coverage["end_counted_at"])
    for key, metric in (("views", "views"), ("interactions", "total_interactions")):
        sums = [sum(truth[day][metric] for day in days(*each.values())) for each in (window, before)]
        assert [trends[key]["current_value"], trends[key]["previous_value"]] == sums
    rate = trends["engagement_rate"]
    assert rate["basis"] == "followers_at_end"
    assert rate["coverage"]["previous"]["denominator"] == followers["previous_value"]
    assert rate["coverage"]["current"]["denominator"] == followers["current_value"]

    by_day = world.body(f"/history?metrics=views,followers&since={since}&until={until}")
    by_week = world.body(f"/history?metrics=views,reach&interval=week&since={since}&until={until}")

    assert world.calls() == []
    views, counts = ({point["date"]: point for point in each["points"]} for each in by_day["series"])
    assert {day: point["value"] for day, point in views.items() if point["final"]} == {
        day: truth[day]["views"] for day in days(since, until) if views[day]["final"]
    }
    assert [day for day, point in views.items() if not point["final"]] in ([], [until])
    gaps = [day for day, point in counts.items() if point["value"] is None]
    assert gaps == coverage["gap_days"]
    assert 0 < len(gaps) <= 3
    counted = [point for point in counts.values() if point["value"] is not None]
    assert all(point["value"] == followers_at(world, point["counted_at"]) for point in counted[::6])
    weeks, people = (each["points"] for each in by_week["series"])
    assert [(week["value"], week["final"]) for week in weeks] == [
        (sum(truth[day]["views"] for day in days(week["since"], week["date"])), True) for week in weeks
    ]
    assert {point["reason"] for point in people} == {"unique_not_summed"}
