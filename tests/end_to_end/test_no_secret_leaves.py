"""Whatever goes wrong with a provider, the caller gets the one error shape, and no secret leaves the process."""

from __future__ import annotations

import pytest

from config import SANDBOX_TOKENS, Config
from services.clock import Clock
from services.wiring.container import Services
from tests.support import UNLIMITED_MODASH_RATE, leaks_in, settings

REQUESTS = {
    "instagram": [
        "/account-insights?period=day&metrics=reach,views,follower_count,email_contacts",
        "/growth-trends?period=7d&metrics=views",
        "/top-posts?time_range=7d",
        "/top-posts?time_range=7d&account=someone.else",
    ],
    "modash": ["/performance-data?url=nasa"],
}
BOTH = [
    {"kind": "slow", "delay_seconds": 3},
    {"kind": "error", "status": 400, "code": 100, "message": "invented"},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 200},
    {"kind": "empty"},
    {"kind": "not_json"},
    {"kind": "truncated"},
    {"kind": "cut"},
    {"kind": "gzip_broken"},
    {"kind": "too_large"},
    {"kind": "wrong_type", "value": []},
    {"kind": "wrong_type", "value": None},
    {"kind": "wrong_type", "value": "text"},
    {"kind": "error_200"},
    {"kind": "redirect"},
    {"kind": "echo_token"},
]
INSTAGRAM = [
    *({"kind": "throttled", "code": code} for code in (4, 17, 32, 341, 613, 80002)),
    *({"kind": "token", "subcode": subcode} for subcode in (458, 459, 460, 463, 464, 467, 492)),
    {"kind": "permission", "code": 10},
    {"kind": "permission", "code": 200},
    {"kind": "server_error", "code": 1},
    {"kind": "server_error", "code": 2},
    {"kind": "reduce_data"},
    {"kind": "refuse_metric", "metric": "views"},
    {"kind": "drop_metric", "metric": "reach"},
]
MODASH = [
    {"kind": "retry_later", "shape": "vendor", "status": 400},
    {"kind": "retry_later", "shape": "seed", "status": 200},
    {"kind": "no_credits"},
    {"kind": "key_invalid"},
    {"kind": "rate_limited"},
]
FAULTS = [
    *({"provider": "instagram"} | fault for fault in BOTH + INSTAGRAM),
    *({"provider": "modash"} | fault for fault in BOTH + MODASH),
]


@pytest.fixture(scope="module")
def sandbox(simulator_process):
    """Sandbox settings with short patience."""
    return {
        "SIMULATOR_PORT": simulator_process.url.rpartition(":")[2],
        "READ_TIMEOUT": "1",
        "RETRY_BUDGET": "0.5",
        "MODASH_RATE": str(UNLIMITED_MODASH_RATE),
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(str(value) for value in fault.values())[:60])
def test_a_failing_provider_is_reported_in_the_one_shape(simulator, make_client, sandbox, fault):
    client = make_client(Config.from_env(sandbox))
    simulator.post("/_simulator/switches", {"modash_rate_limit": 0})
    simulator.post("/_simulator/faults", fault)

    for path in REQUESTS[fault["provider"]]:
        response = client.get(path)

        body = response.get_json()
        assert response.status_code != 500
        if response.status_code >= 400:
            assert list(body) == [
                *("error", "code", "message", "hint", "provider", "reference", "retry_after", "request_id")
            ]
            assert body["provider"] == fault["provider"] or body["code"] == "account_unknown"
            assert body["hint"]


def test_a_gateway_of_its_own_logs_no_secret(simulator, start, sandbox):
    gateway = start(sandbox | {"LOG_LEVEL": "DEBUG"})
    simulator.post("/_simulator/switches", {"modash_rate_limit": 0})
    for fault in FAULTS[::3]:
        simulator.post("/_simulator/faults", fault | {"times": 3})
        for path in REQUESTS[fault["provider"]]:
            assert leaks_in(gateway.get(path).text) == []

    token = SANDBOX_TOKENS["facebook"]
    gateway.get(f"/top-posts?time_range=7d&access_token={token}")
    gateway.get("/account-insights?period=day&metrics=reach", headers={"Authorization": f"Bearer {token}"})

    assert leaks_in(gateway.output.read_text()) == []


def test_no_object_shows_a_secret():
    config = settings()
    services = Services.build(config, Clock())

    shown = [repr(config), repr(services), *(repr(part) for part in vars(services).values())]

    assert leaks_in("\n".join(shown)) == []
