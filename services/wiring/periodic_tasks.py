"""What the heartbeat does in every process, in which order and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.access.rate_limits import RequestRates
from services.background.heartbeat import Heartbeat
from services.background.job_schedule import SWEEP_INTERVAL
from services.cache.cache import Cache
from services.cache.single_flight import EXTENSION_INTERVAL
from services.store.store import Store

A_SECOND = 0.9  # seconds; the heartbeat beats every half second, so that is once a second
TRY_INTERVAL = 60.0  # seconds; a fault is logged also where no caller notices it


def register(
    heartbeat: Heartbeat,
    every_second: Mapping[str, Callable[[], object]],
    cache: Cache,
    store: Store,
    rates: RequestRates,
) -> None:
    """Register the periodic tasks in the order in which they run."""
    heartbeat.register("extend cache leases", cache.extend_leases, interval=EXTENSION_INTERVAL, extends_leases=True)
    # With every beat, twice a second: what one process has counted then reaches the others within a second.
    heartbeat.register("exchange request counts", rates.share, interval=0.0)
    for name, task in every_second.items():
        heartbeat.register(name, task, interval=A_SECOND)
    heartbeat.register("try the databases", store.faults, interval=TRY_INTERVAL, delay=TRY_INTERVAL)
    heartbeat.register("sweep", store.sweep_without_worker, interval=SWEEP_INTERVAL, delay=SWEEP_INTERVAL)
