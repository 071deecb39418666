"""Group commit: items of several threads are written together, and each thread learns how its own item ended."""

from __future__ import annotations

import threading
import time

import pytest

from services.store import group_commit
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from services.store.group_commit import MOST, GroupCommit

WITHIN = 30.0  # seconds


class Disk:
    """What was written, in batches; each takes a moment."""

    def __init__(self):
        self.batches = []
        self.refused = set()
        self.failure = None
        self.at_once = 0
        self.goes_on = threading.Event()  # Until it is set, no batch is written.
        self.goes_on.set()

    def __call__(self, items):
        self.at_once += 1
        assert self.at_once == 1
        try:
            time.sleep(0.002)
            self.goes_on.wait(WITHIN)
            if self.failure is not None:
                raise self.failure
            if self.refused & set(items):
                raise StatementRefusedError("odd")
            self.batches.append(items)
        finally:
            self.at_once -= 1


@pytest.fixture
def disk():
    return Disk()


def write_at_once(disk, items, *, queue_up=False):
    """Write each item on a thread of its own; return what each of them raised.

    With `queue_up` all others have come, in their order, before the first one is written.
    """
    commit, outcomes = GroupCommit(disk), {}

    def write(item):
        try:
            commit(item)
        except Exception as error:  # noqa: BLE001  # The test looks at it.
            outcomes[item] = error
        else:
            outcomes[item] = None

    threads = [threading.Thread(target=write, args=(item,)) for item in items]
    if queue_up:
        disk.goes_on.clear()
    for number, thread in enumerate(threads):
        thread.start()
        while queue_up and not (disk.at_once and len(commit._queue) == number):
            time.sleep(0.001)
    disk.goes_on.set()
    for thread in threads:
        thread.join(WITHIN)
    assert len(outcomes) == len(items), "a thread was never woken"
    return outcomes


def test_every_item_is_written_once_in_fewer_transactions(disk):
    outcomes = write_at_once(disk, range(300))

    assert set(outcomes.values()) == {None}
    assert sorted(item for batch in disk.batches for item in batch) == list(range(300))
    assert len(disk.batches) < 300
    assert max(map(len, disk.batches)) <= MOST


def test_one_thread_after_the_other_gets_a_transaction_each(disk):
    commit = GroupCommit(disk)

    for item in range(5):
        commit(item)

    assert disk.batches == [[0], [1], [2], [3], [4]]


def test_a_refused_item_does_not_take_the_others_with_it(disk):
    disk.refused = {7, 30}

    outcomes = write_at_once(disk, range(60))

    assert {item for item, error in outcomes.items() if error is not None} == disk.refused
    assert all(isinstance(outcomes[item], StatementRefusedError) for item in disk.refused)
    assert sorted(item for batch in disk.batches for item in batch) == sorted(set(range(60)) - disk.refused)


def test_one_of_two_that_is_refused_does_not_take_the_other_with_it(disk):
    disk.refused = {1}

    outcomes = write_at_once(disk, range(3), queue_up=True)

    assert [type(outcomes[item]) for item in range(3)] == [type(None), StatementRefusedError, type(None)]
    assert disk.batches == [[0], [2]]


def test_a_transaction_has_a_bound_and_takes_the_items_in_the_order_in_which_they_came(disk, monkeypatch):
    monkeypatch.setattr(group_commit, "MOST", 3)

    write_at_once(disk, range(8), queue_up=True)

    assert disk.batches == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_each_thread_gets_a_failure_of_its_own(disk):
    disk.failure = DatabaseUnavailableError("away")

    outcomes = write_at_once(disk, range(20))

    assert {str(error) for error in outcomes.values()} == {"away"}
    assert len({id(error) for error in outcomes.values()}) == 20


def test_an_unexpected_error_leaves_no_thread_waiting_and_no_item_confirmed(disk):
    disk.failure = KeyError("a bug")

    outcomes = write_at_once(disk, range(20))

    assert None not in outcomes.values()
    assert any(isinstance(error, KeyError) for error in outcomes.values())


def test_after_a_failure_the_next_item_is_written(disk):
    disk.failure = DatabaseUnavailableError("away")
    commit = GroupCommit(disk)
    with pytest.raises(DatabaseUnavailableError):
        commit(1)

    disk.failure = None
    commit(2)

    assert disk.batches == [[2]]
