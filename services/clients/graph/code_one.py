"""Code 1 of Instagram: a fault that passes, or a call that asks for too much; a request spends few calls on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services import request_context
from services.errors import ProviderError, RetryStrategy

MAX_CODE_ONE = 8  # calls of one request that Instagram may answer with code 1
CODE_ONE = frozenset({RetryStrategy.SHRINK, RetryStrategy.ONCE_MORE})
CODE_ONE_WAIT = 60  # seconds


class CodeOneBudget:
    """The calls that Instagram may answer one request with code 1; safe for threads."""

    def __init__(self) -> None:
        self.spent = 0
        self._under_way = 0
        self._changed = threading.Condition()

    def begin(self, *, is_optional: bool) -> bool:
        """Begin a call; return False for an optional one if nothing is left.

        From the first code 1 on, an optional call waits while those under way may use up what is left: side by side
        they would spend more than one after the other.
        """
        with self._changed:
            if is_optional:
                self._changed.wait_for(self._is_decided, request_context.timeout())
                if self.spent >= MAX_CODE_ONE:
                    return False
            self._under_way += 1
            return True

    def end(self, *, is_code_one: bool) -> None:
        """End a call that has begun."""
        with self._changed:
            self._under_way -= 1
            self.spent += is_code_one
            self._changed.notify_all()

    def _is_decided(self) -> bool:
        return not self.spent or self.spent >= MAX_CODE_ONE or self.spent + self._under_way < MAX_CODE_ONE

    @contextmanager
    def ended(self) -> Iterator[None]:
        """End a call that has begun, whatever becomes of it."""
        is_code_one = False
        try:
            yield
        except ProviderError as error:
            is_code_one = error.retry_strategy in CODE_ONE
            raise
        finally:
            self.end(is_code_one=is_code_one)


def budget_of_request() -> CodeOneBudget:
    """Return what the request in hand may still spend; a command has one for each call."""
    context = request_context.current.get()
    return CodeOneBudget() if context is None else context.part(CodeOneBudget)
