"""A running simulator, back in its first state before each test, and a caller who speaks to it."""

import pytest
import requests

from simulator import Simulator
from tests.simulator.caller import NOW, Caller


@pytest.fixture(scope="session")
def running():
    simulator = Simulator(seed=1, accounts=40, started=NOW).start()
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(running):
    running.reset()
    running.clock.freeze(NOW)
    running.switches.set({"modash_rate_limit": 0})
    return running


@pytest.fixture(scope="session")
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def caller(simulator, session):
    return Caller(simulator, session)


@pytest.fixture
def read(caller):
    """Read a media's insights by one of both logins."""

    def read(login, media, metric, **parameters):
        return getattr(caller, login)(f"/{media}/insights", metric=metric, **parameters)

    return read


@pytest.fixture
def settled(caller):
    """A caller to whom every day is reported at once and in full."""
    caller.switch(reporting_delay=False)
    return caller


@pytest.fixture(scope="session")
def same_world():
    simulator = Simulator(seed=1, accounts=40, started=NOW).start()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="session")
def another_world():
    simulator = Simulator(seed=2, accounts=40, started=NOW).start()
    yield simulator
    simulator.stop()
