"""`make notify`, the settings of the outgoing webhook, and what /status says of it."""

from __future__ import annotations

import re

import pytest

from commands import notify as command
from config import Config, ConfigError
from services.clock import Clock
from services.notifications.events import EVENTS, Event
from services.notifications.notifications import Notifications
from services.store.store import Store
from tests.notifications.receiver import HIDDEN, SECRET
from tests.support import free_port, new_instance, settings


def config(receiver, **more):
    return Config.from_env({"INSTANCE_PATH": new_instance()} | receiver.settings | more)


def test_a_printed_secret_is_accepted(run_command, receiver):
    ended, said, _ = run_command(command, None, "secret")

    assert ended == 0
    name, _, printed = said.strip().partition("=")
    assert name == "NOTIFY_SECRET"
    assert config(receiver, NOTIFY_SECRET=printed).notify_secrets == (printed,)
    assert command.main(["secret"]) == 0


def test_the_test_event_is_delivered_and_explained(run_command, receiver):
    ended, said, _ = run_command(command, config(receiver), "test")

    assert (ended, receiver.events[0]["type"]) == (0, "test")
    assert receiver.ids[0] in said
    assert "HTTP 204" in said


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((301, {"Location": "https://elsewhere.example"}, b""), "redirects are not followed"),
        ((401, {}, b"bodyTHATisPRIVATE"), "compare NOTIFY_SECRET"),
        ((404, {}, b""), "check the path of NOTIFY_URL"),
        ((410, {}, b""), "wants no more events"),
        ((500, {}, b""), "HTTP 500; accepted are 200 to 299"),
        ((599, {}, b""), "HTTP 599"),
    ],
)
def test_a_refusal_of_the_test_event_is_explained(run_command, receiver, answer, expected):
    receiver.answers = [answer]

    ended, said, complained = run_command(command, config(receiver), "test")

    assert (ended, said) == (1, "")
    assert complained.startswith("FAIL test event: ")
    assert expected in complained
    for private in (HIDDEN, SECRET, "bodyTHATisPRIVATE", "elsewhere"):
        assert private not in complained


def test_an_unreachable_receiver_is_explained(run_command, receiver):
    url = f"http://127.0.0.1:{free_port()}/{HIDDEN}"

    ended, _, said = run_command(command, config(receiver, NOTIFY_URL=url), "test")

    assert ended == 1
    assert "The receiver cannot be reached" in said
    assert HIDDEN not in said


def test_without_a_receiver_the_command_names_the_settings(run_command):
    ended, _, said = run_command(command, Config.from_env({"INSTANCE_PATH": new_instance()}), "test")

    assert ended == 2
    assert "Set NOTIFY_URL and NOTIFY_SECRET" in said


def test_what_waits_is_listed_and_counted_and_sent_again(run_command, receiver, make_client):
    chosen = config(receiver)
    store = Store.open("", chosen.instance_path, mode="sandbox")
    for creator in ("nasa", "esa"):
        Notifications(store.notifications, wanted=EVENTS, mode="sandbox", clock=Clock()).put(
            Event.REPORT_FAILED, {}, creator=creator
        )
    (esa,) = [event for event in store.notifications.listed(5) if event.creator == "esa"]
    store.notifications.failed(esa, "http_410", 1e9, due_at=None)

    _, listed, _ = run_command(command, chosen, "list")
    work = make_client(chosen).application.extensions["services"].readiness.work()
    ended, sent, _ = run_command(command, chosen, "resend", esa.id)
    in_part, _, _ = run_command(command, chosen, "resend", esa.id, "msg_unknown")
    without = config(receiver, INSTANCE_PATH=chosen.instance_path, NOTIFY_URL="", NOTIFY_SECRET="")
    _, listed_without, _ = run_command(command, without, "list")
    _, sent_without, _ = run_command(command, without, "resend", esa.id)
    unknown, _, complained = run_command(command, chosen, "resend", "msg_unknown")

    assert listed.startswith("1 waits, 1 was given up.")
    assert re.search(rf"{esa.id} .*report.failed esa: given up, 1 attempt, http_410", listed)
    assert re.search(r"report.failed nasa: next at ", listed)
    assert work["notifications"] == {"waiting": 1, "given_up": 1}
    assert (ended, sent[:2]) == (0, "1 ")
    assert ("no receiver" in listed, "no receiver" in sent) == (False, False)
    assert "There is no receiver" in listed_without
    assert "due for 30 days is given up" in listed_without
    assert sent_without.startswith("1 waits. There is no receiver")
    assert (in_part, unknown, "unknown" in complained) == (1, 2, True)
    assert store.notifications.counts() == (2, 0)
    store.close()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"NOTIFY_URL": "http://receiver.example/x"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": "http://127.0.0.1.receiver.example/x"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": "http://localhost.receiver.example/x"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": f"https://user:{HIDDEN}@receiver.example/"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": f"https://receiver.example/#{HIDDEN}"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": "https:///x"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": "ftp://127.0.0.1/x"}, "NOTIFY_URL"),
        ({"NOTIFY_SECRET": ""}, "NOTIFY_SECRET is missing"),
        ({"NOTIFY_SECRET": HIDDEN}, "NOTIFY_SECRET has the wrong form"),
        ({"NOTIFY_SECRET": "whsec_MTIzNA=="}, "NOTIFY_SECRET has the wrong form"),
        ({"NOTIFY_EVENTS": "token.dead,token.alive"}, "NOTIFY_EVENTS has token.alive; accepted: token.expiring"),
    ],
)
def test_a_setting_that_is_not_accepted_stops_the_start(receiver, changes, fault):
    with pytest.raises(ConfigError, match=fault) as refused:
        config(receiver, **changes)

    assert HIDDEN not in str(refused.value)


@pytest.mark.parametrize("url", ["https://receiver.example/hook?key=1", "http://localhost:9/x", "http://[::1]:9/x"])
def test_addresses_that_are_accepted(receiver, url):
    chosen = config(receiver, NOTIFY_URL=url, NOTIFY_SECRET=f"{SECRET},{SECRET}")

    assert url not in repr(chosen)
    assert SECRET not in repr(chosen)
    assert {url, SECRET} <= set(chosen.secrets)


def test_settings_of_the_receiver_start_no_live_gateway():
    assert Config.from_env({"NOTIFY_URL": "https://a.example", "NOTIFY_SECRET": SECRET}).sandbox
    assert settings().notify_url == ""
