"""A process of its own that calls Modash as often as it is told, as fast as it may; run by the end-to-end tests."""

from __future__ import annotations

import sys

from config import Config
from services import modash_client
from services.clients.pace import Pace
from services.clock import Clock
from services.limits import shared_turns
from services.store import Store


def main() -> None:
    config, clock = Config.from_env(), Clock()
    store = Store.open(config.database_url, config.instance_path)
    pace = Pace("modash", config.modash_rate, clock, shared=shared_turns("modash", store.paces))
    modash = modash_client(config, clock, pace=pace)
    for _ in range(int(sys.argv[1])):
        modash.credits()


if __name__ == "__main__":
    main()
