"""Which core a worker keeps to."""

from __future__ import annotations

import os
import threading

import pytest

from gunicorn_cores import core_for_next, keep_to, usable_cores


@pytest.mark.parametrize(
    ("taken", "workers", "cores", "core"),
    [
        ([], 2, {4, 7}, 4),
        ([4], 2, {4, 7}, 7),
        ([7], 2, {4, 7}, 4),
        ([4, 7], 2, {4, 7}, 4),
        ([4, 7, 4], 2, {4, 7}, 7),
        ([0], 2, {0}, 0),
        ([1], 4, {0, 1, 2}, 0),
        ([], 2, {0, 1, 2}, None),
        ([None, None], 3, {0, 1, 2}, 0),
        ([], 2, (), None),
    ],
    ids=[
        "first worker",
        "second worker",
        "in place of one that has ended",
        "beside those that a reload replaces",
        "the second one of a reload",
        "one core",
        "more workers than cores",
        "more cores than workers",
        "one more worker than before",
        "the system does not say",
    ],
)
def test_each_worker_gets_the_core_that_the_fewest_have(taken, workers, cores, core):
    assert core_for_next(taken, workers=workers, cores=cores) == core


def test_the_threads_of_a_worker_keep_to_its_core():
    core, found = max(usable_cores()), []

    def begin():
        keep_to(core)
        inner = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
        inner.start()
        inner.join()

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()

    assert found == [{core}]


def test_a_core_that_cannot_be_had_is_no_fault(monkeypatch):
    before = os.sched_getaffinity(0)

    keep_to(100_000)

    assert os.sched_getaffinity(0) == before
    monkeypatch.delattr(os, "sched_setaffinity")
    keep_to(max(before))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert not usable_cores()
