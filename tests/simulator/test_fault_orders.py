"""Orders of faults: whom they hit, how often, in which turn, and which orders are refused."""

import pytest
import requests

from tests.simulator.caller import ACCOUNT


def test_a_fault_hits_so_many_times(caller):
    caller.fault("instagram", "empty", times=2)

    assert [caller.graph("/me").json() == {"data": []} for _ in range(3)] == [True, True, False]
    assert caller.own("/faults") == {"faults": []}


def test_a_fault_hits_so_many_seconds_of_the_simulated_clock(caller):
    caller.fault("instagram", "empty", seconds=60)
    hit = caller.graph("/me").json()
    caller.order("/clock", advance=60)

    assert hit == {"data": []}
    assert "id" in caller.graph("/me").json()


def test_a_fault_hits_one_provider_and_one_path(caller):
    caller.fault("instagram", "html", path="/media")
    caller.fault("modash", "html", path="url=unlucky")

    assert caller.media().status_code == 502
    assert caller.graph(f"/{ACCOUNT}").status_code == 200
    assert caller.modash("unlucky").status_code == 502
    assert caller.modash("lucky").status_code == 200


def test_faults_that_replace_the_answer_take_turns(caller):
    caller.fault("instagram", "html", status=502, times=1)
    caller.fault("instagram", "throttled", code=4, times=2)
    caller.fault("instagram", "empty", times=1)

    assert [caller.graph("/me").status_code for _ in range(5)] == [502, 400, 400, 200, 200]


def test_faults_are_listed_and_cleared(caller):
    fault = caller.fault("instagram", "throttled", code=4)
    caller.graph("/me")

    listed = caller.own("/faults")["faults"]
    cleared = caller.session.delete(f"{caller.simulator.url}/_simulator/faults", timeout=5).json()

    assert listed == [{**fault, "hits": 1}]
    assert cleared == {"faults": []}
    assert caller.graph("/me").status_code == 200


def test_a_spoilt_answer_leaves_the_next_one_sound(caller):
    for kind in ("cut", "truncated", "gzip_broken", "too_large", "not_json"):
        caller.fault("instagram", kind, times=1)
        with pytest.raises((requests.RequestException, ValueError)):
            caller.media(limit=20).json()

        assert caller.graph(f"/{ACCOUNT}").json() == {"id": ACCOUNT}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "provider must be instagram or modash"),
        ({"provider": "instagram", "kind": "retry_later"}, "kind must be one of slow, error"),
        ({"provider": "modash", "kind": "slow", "delay_seconds": "long"}, "delay_seconds is not valid for slow"),
        (
            {"provider": "modash", "kind": "slow", "speed": 1},
            "slow has no option speed; accepted: provider, kind, path",
        ),
        ({"provider": "instagram", "kind": "throttled", "code": 99}, "code is not valid for throttled"),
        ({"provider": "instagram", "kind": "empty", "times": 0}, "times must be a whole number above 0"),
        ({"provider": "instagram", "kind": "empty", "seconds": "x"}, "seconds must be a number"),
        ({"provider": "instagram", "kind": "empty", "path": 1}, "path must be text"),
        ({"provider": "instagram", "kind": "drop_metric"}, "drop_metric needs metric"),
        ({"provider": ["instagram"], "kind": "empty"}, "provider must be instagram or modash"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_its_reason(caller, body, text):
    reply = caller.order("/faults", **body)

    assert reply.status_code == 400
    assert reply.json()["error"].startswith(text)
