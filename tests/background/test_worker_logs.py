"""What a worker logs."""

from __future__ import annotations

import logging
import threading

import pytest

import logs
import worker
from config import Config
from services.store.database import SchemaError
from services.wiring.container import Services
from tests.support import settings

LEARNT = "EAAreadFROMtheDATABASE0123456789"


def test_a_token_that_the_services_of_a_worker_learn_is_removed_from_its_log(monkeypatch, capsys):
    def build(_config, _clock, *, redaction):
        redaction.learn(LEARNT)
        logging.getLogger("services").error("refused: %s", LEARNT)
        raise SchemaError("the end of this test")

    monkeypatch.setattr(worker, "signals_of_this_process", threading.Event)
    monkeypatch.setattr(logs, "catch_everything", bool)  # of this process
    monkeypatch.setattr(Config, "from_env", settings)
    monkeypatch.setattr(Services, "build", build)

    with pytest.raises(SystemExit, match="the end of this test"):
        worker.main([])

    written = capsys.readouterr().err
    assert '"message": "refused: ' in written
    assert LEARNT not in written
