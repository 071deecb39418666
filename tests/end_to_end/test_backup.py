"""A backup of a gateway that buys reports, and its restore: no report that was answered before it is lost."""

from __future__ import annotations

import threading

import pytest

from commands import backup, restore
from config import Config
from tests.end_to_end.test_paid_once import charges
from tests.support import UNLIMITED_MODASH_RATE, local_session, new_instance

BUYERS = 4
BEFORE, AFTER = 20, 20  # reports


class Buyer(threading.Thread):
    """Buys reports of its own creators, one after another, and notes those that were answered."""

    def __init__(self, url, number, over):
        super().__init__()
        self._url, self._number, self._over = url, number, over
        self.answered = []
        self.failed = []

    def run(self):
        session = local_session()
        while not self._over.is_set():
            creator = f"creator{self._number}x{len(self.answered) + len(self.failed)}"
            reply = session.get(f"{self._url}/performance-data?url={creator}", timeout=60)
            (self.answered if reply.status_code == 200 else self.failed).append(creator)
        session.close()


def wait_for(count, buyers):
    while sum(len(buyer.answered) for buyer in buyers) < count:
        assert all(buyer.is_alive() for buyer in buyers)
        buyers[0].join(0.01)


@pytest.fixture
def run(run_command):
    return lambda command, settings, *arguments: run_command(
        command, Config(providers="sandbox", **settings), *arguments
    )


def test_a_backup_under_load_restores_every_report_that_was_answered_before_it(simulator, start, run, tmp_path):
    settings = {
        "SIMULATOR_PORT": simulator.url.rpartition(":")[2],
        "MODASH_RATE": str(UNLIMITED_MODASH_RATE),
        "INSTANCE_PATH": new_instance(),
    }
    at = {"instance_path": settings["INSTANCE_PATH"]}
    simulator.post("/_simulator/switches", {"modash_rate_limit": 0})
    gateway, over = start(settings), threading.Event()
    buyers = [Buyer(gateway.url, number, over) for number in range(BUYERS)]

    for buyer in buyers:
        buyer.start()
    wait_for(BEFORE, buyers)
    before = [creator for buyer in buyers for creator in list(buyer.answered)]
    made = run(backup, at, "--out", str(tmp_path))
    during = sum(len(buyer.answered) for buyer in buyers)
    wait_for(during + AFTER, buyers)
    over.set()
    for buyer in buyers:
        buyer.join()
    (file,) = tmp_path.iterdir()
    refused = run(restore, at, str(file))
    gateway.stop()
    restored = run(restore, at, str(file))
    paid = charges(simulator)
    again = start(settings)
    replies = [again.get(f"/performance-data?url={creator}") for creator in before]

    assert (made[0], refused[0], restored[0]) == (0, 1, 0)
    assert [buyer.failed for buyer in buyers] == [[]] * BUYERS
    assert {reply.status_code for reply in replies} == {200}
    assert charges(simulator) == paid  # None of them was bought again.
    assert {creator for buyer in buyers for creator in buyer.answered} == set(paid)
    assert "Stop them" in refused[2]
