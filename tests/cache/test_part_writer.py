"""What a fetch brings is written in parts: together what came together, never two parts at a time, and nothing lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.cache import part_writer
from services.cache.part_writer import PartWriter
from tests.support import wait_until


@pytest.fixture
def threads():
    with ThreadPoolExecutor(part_writer.WRITERS) as threads:
        yield threads


class Book:
    """Takes parts, each once it is let on; the first ones fail."""

    def __init__(self, *, failures=0, is_slow=False):
        self.parts = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self._failures = failures
        self._is_slow = is_slow

    def write(self, part):
        self.parts.append(dict(part))
        self.begun.release()
        if self._is_slow:
            assert self.go_on.acquire(timeout=10)
        if len(self.parts) <= self._failures:
            raise RuntimeError("not now")


def test_what_comes_while_a_part_is_written_is_the_next_part(threads):
    book = Book(is_slow=True)
    writer = PartWriter(book.write, threads)

    writer.add({"a": 1})
    assert book.begun.acquire(timeout=10)
    for key in "bc":
        writer.add({key: 1})
    book.go_on.release()
    assert book.begun.acquire(timeout=10)
    book.go_on.release()
    wait_until(lambda: not writer._has_thread)
    writer.add({"d": 1})
    assert book.begun.acquire(timeout=10)
    book.go_on.release()

    assert writer.finish() == dict.fromkeys("abcd", 1)
    assert book.parts == [{"a": 1}, {"b": 1, "c": 1}, {"d": 1}]


def test_what_comes_at_once_is_one_part(threads, monkeypatch):
    monkeypatch.setattr(part_writer, "COLLECT_FOR", 0.5)
    book = Book()
    writer = PartWriter(book.write, threads)

    for number in range(60):
        writer.add({number: number})
    wait_until(lambda: book.parts)

    assert list(map(len, book.parts)) == [60]
    assert len(writer.finish()) == 60


def test_the_end_waits_for_the_part_that_is_written_and_leaves_the_rest(threads):
    book = Book(is_slow=True)
    writer = PartWriter(book.write, threads)
    writer.add({"a": 1})
    assert book.begun.acquire(timeout=10)
    writer.add({"b": 1})

    with ThreadPoolExecutor(1) as callers:
        end = callers.submit(writer.finish)
        with pytest.raises(TimeoutError):
            end.result(0.1)
        book.go_on.release()

        assert end.result(10) == {"a": 1}
    assert book.parts == [{"a": 1}]


def test_the_end_waits_for_no_part_that_has_not_begun(threads, monkeypatch):
    monkeypatch.setattr(part_writer, "COLLECT_FOR", 60)
    book = Book()
    writer = PartWriter(book.write, threads)
    writer.add({"a": 1})

    assert writer.finish() == {}
    writer.add({"b": 1})

    wait_until(lambda: not writer._has_thread)
    assert book.parts == []


def test_a_part_that_cannot_be_written_is_tried_again_with_the_next_one(threads):
    book = Book(failures=1)
    writer = PartWriter(book.write, threads)
    writer.add({"a": 1, "b": 1})
    wait_until(lambda: book.parts and not writer._has_thread)
    writer.add({"b": 2})
    wait_until(lambda: len(book.parts) == 2)

    assert writer.finish() == {"a": 1, "b": 2}
    assert book.parts[1] == {"a": 1, "b": 2}


def test_a_value_that_comes_while_an_earlier_one_fails_to_be_written_stays(threads):
    book = Book(failures=1, is_slow=True)
    writer = PartWriter(book.write, threads)
    writer.add({"a": 1, "b": 1})
    assert book.begun.acquire(timeout=10)
    writer.add({"b": 2})
    book.go_on.release(2)
    wait_until(lambda: not writer._has_thread)
    writer.add({"c": 3})
    assert book.begun.acquire(timeout=10)

    assert writer.finish() == {"a": 1, "b": 2, "c": 3}


def test_a_part_that_fails_with_the_end_is_left_to_the_caller(threads):
    book = Book(failures=1)
    writer = PartWriter(book.write, threads)
    writer.add({"a": 1})
    wait_until(lambda: book.parts and not writer._has_thread)

    assert writer.finish() == {}


def test_without_a_thread_a_part_is_written_at_once(threads, no_thread):
    book = Book()
    writer = PartWriter(book.write, threads)

    with no_thread():
        writer.add({"a": 1})
        writer.add({"b": 1})

    assert book.parts == [{"a": 1}, {"b": 1}]
    assert writer.finish() == {"a": 1, "b": 1}
