"""A worker whose jobs write down that they were begun and done; run by the end-to-end tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

from config import Config
from services.background.heartbeat import Heartbeat
from services.background.job_runner import Runner
from services.clock import Clock
from services.store.store import Store
from worker import Worker, signals_of_this_process


def main() -> None:
    signals = signals_of_this_process()
    config = Config.from_env()
    book = Path(os.environ["BOOK"])

    def count(key, payload, _attempts):
        write(book, f"begun {key} {os.getpid()}")
        time.sleep(payload["seconds"])
        write(book, f"done {key} {os.getpid()}")

    store = Store.open(config.database_url, config.instance_path, mode="live")
    Worker(Runner(store, {"count": count}, Clock()), Heartbeat(), signals).run()


def write(book, line):
    """Add a line in one piece, also while other processes write."""
    with book.open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


if __name__ == "__main__":
    main()
