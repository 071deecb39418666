"""A worker whose handler of `story_insights` writes down each change that it applies; run by the end-to-end tests."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from config import Config
from services.background.heartbeat import Heartbeat
from services.background.job_handlers import apply_webhooks
from services.background.job_runner import Runner
from services.clock import Clock
from services.store.store import Store
from services.webhooks.application import WebhookApplication
from tests.end_to_end.counting_worker import write
from worker import Worker, signals_of_this_process


def main() -> None:
    signals = signals_of_this_process()
    config = Config.from_env()
    book = Path(os.environ["BOOK"])
    store = Store.open(config.database_url, config.instance_path, mode=config.providers)

    def apply(change):
        write(book, change.digest)
        time.sleep(0.002)  # so that a kill comes between the changes of a batch

    application = WebhookApplication(store.webhooks, {"story_insights": apply}, clock=Clock())
    jobs = {"webhooks": partial(apply_webhooks, application)}
    Worker(Runner(store, jobs, Clock()), Heartbeat(), signals).run()


if __name__ == "__main__":
    main()
