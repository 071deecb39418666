"""A process of its own that calls Modash a given number of times, as fast as it may; for the end-to-end tests."""

from __future__ import annotations

import sys

from config import Config
from services.clients.rate_limiter import RateLimiter
from services.clock import Clock
from services.quota import shared_rate_limit
from services.store.store import Store
from services.wiring.provider_clients import modash_client


def main() -> None:
    config, clock = Config.from_env(), Clock()
    store = Store.open(config.database_url, config.instance_path, mode=config.providers)
    rate_limiter = RateLimiter(
        "modash", config.modash_rate, clock, shared=shared_rate_limit("modash", store.provider_turns)
    )
    modash = modash_client(config, clock, rate_limiter=rate_limiter)
    for _ in range(int(sys.argv[1])):
        modash.credits()


if __name__ == "__main__":
    main()
