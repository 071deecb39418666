"""The counts of all processes add up, whichever of them answers, and never go back."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from services.monitoring import metric_families
from services.monitoring.exposition import _of_processes
from services.monitoring.measurements import Measurements
from services.monitoring.metric_families import CALLS
from services.monitoring.shared_counts import Exchange
from services.monitoring.state import Sample
from services.store.counters import Counters, ProcessGauges
from tests.support import errors_of, free_port, lines_of

REQUESTS = 60
WITHIN = 120  # seconds; a reload starts the gateway twice, and a busy machine needs a multiple of the usual second


def scrape(gateway):
    """The metrics over a new connection, which any of the processes may get."""
    text = requests.get(f"{gateway.url}/metrics", timeout=30, proxies={"http": ""}).text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *(sample.labels[name] for name in sorted(sample.labels))] = sample.value
    return found


def ask(gateway, number):
    for _ in range(number):
        assert requests.get(f"{gateway.url}/healthz", timeout=30, proxies={"http": ""}).status_code == 200


def counted(found):
    return found.get(("insights_requests_total", "none", "GET", "/healthz", "200"), 0)


def wait_for_count(gateway, number):
    """Scrape until a count is reached; return all that were seen on the way."""
    seen, deadline = [], time.monotonic() + WITHIN
    while not seen or seen[-1] < number:
        assert time.monotonic() < deadline, seen
        seen.append(counted(scrape(gateway)))
        time.sleep(0.05)
    return seen


def settled(gateway):
    """The count once every process has added what it counted, equal from each of them."""
    deadline = time.monotonic() + WITHIN
    while True:
        time.sleep(1.2)
        found = {counted(scrape(gateway)) for _ in range(6)}
        if len(found) == 1:
            return found.pop()
        assert time.monotonic() < deadline, found


def test_the_counts_of_two_processes_add_up_and_outlive_them(store_settings, start):
    settings = store_settings | {"PROVIDERS": "sandbox", "SIMULATOR_PORT": str(free_port())}
    gateway = start(settings)
    ready = settled(gateway)  # the requests by which the test waited for the start

    ask(gateway, REQUESTS)
    seen = wait_for_count(gateway, ready + REQUESTS)
    both = scrape(gateway)
    pids = [line["pid"] for line in lines_of(gateway) if line["message"] == "The gateway is ready"]
    gateway.popen.send_signal(signal.SIGHUP)  # Both processes end, and two others take over.
    deadline = time.monotonic() + WITHIN
    while len([line for line in lines_of(gateway) if line["message"] == "The gateway is ready"]) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ask(gateway, REQUESTS)
    seen += wait_for_count(gateway, ready + 2 * REQUESTS)

    assert len(set(pids)) == 2
    assert seen == sorted(seen)
    assert settled(gateway) == ready + 2 * REQUESTS
    assert both["insights_processes",] == 2
    assert both["insights_request_seconds_count", "/healthz"] >= REQUESTS
    assert errors_of(gateway) == []


def test_concurrent_processes_lose_no_count(store):
    ours, theirs = (Counters(store.databases[0]) for _ in range(2))
    total = Counter()
    for number in range(30):
        for each in (ours, theirs):
            counts = {("insights_requests", ("GET", f"/{route}")): number + route for route in range(5)}
            each.add(counts)
            total.update(counts)

    assert ours.read() == total
    assert all(isinstance(value, float) for value in theirs.read().values())


@pytest.mark.parametrize("states", [(2, 0), (0, 2), (0, 0)])
def test_the_worst_state_of_a_breaker_is_shown_whichever_process_comes_last(states):
    name = f"{metric_families.BREAKER_STATE} modash"
    processes = [ProcessGauges(str(number), {name: state}) for number, state in enumerate(states)]

    assert Sample(metric_families.BREAKER_STATE, ("modash",), max(states)) in list(_of_processes(processes))


def test_values_of_a_process_count_while_it_is_alive(store):
    store.counters.write_gauges("one", {"x": 1.0})
    store.counters.write_gauges("two", {"x": 2.0})
    store.counters.write_gauges("one", {"x": 3.0})
    found = {each.process: each.values for each in store.counters.gauges()}
    store.counters.forget_process("two")

    assert found == {"one": {"x": 3.0}, "two": {"x": 2.0}}
    assert [each.process for each in store.counters.gauges()] == ["one"]
    with store.databases[0].write() as connection:
        connection.exec_driver_sql("UPDATE process_gauges SET seen_at = seen_at - 20")
    assert store.counters.gauges() == []


def test_the_values_of_a_process_go_with_it_and_what_it_counted_last_stays(store, clock):
    ours, theirs = (Exchange(Measurements(), store.counters, clock=clock) for _ in range(2))
    for each in (ours, theirs):
        each.share()
    counted = Measurements()
    ending = Exchange(counted, store.counters, clock=clock)
    ending.share()
    counted.call("modash", "200", 0.1)
    before = len(ours.gauges())

    ending.close()

    assert (before, len(ours.gauges())) == (3, 2)
    assert ours.counts()[CALLS, ("modash", "200")] == 1
