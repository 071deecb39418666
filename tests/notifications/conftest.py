"""A receiver for each test."""

import pytest

from tests.notifications.receiver import EventReceiver


@pytest.fixture
def receiver():
    receiver = EventReceiver()
    yield receiver
    receiver.stop()
