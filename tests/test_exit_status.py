"""How the commands end: their exit statuses, and what they say, without a traceback."""

from __future__ import annotations

import io
import json
from importlib import import_module

import pytest

from commands import DONE, FAILED, INTERRUPTED, USAGE, MigrationError, Refused, UsageError, account
from commands.exit_status import end
from config import Config, ConfigError
from services.accounts.token_encryption import new_key
from services.errors import AccountUnknownError, InvalidRequestError, ProviderNotConfiguredError
from services.store.database import DatabaseUnavailableError
from tests.stores import query
from tests.support import new_instance

COMMANDS = [
    ("account", "list"),
    ("account", "check"),
    ("backfill",),
    ("backup",),
    ("connect", "--all"),
    ("doctor",),
    ("export",),
    ("import_history", "no-file"),
    ("key", "list"),
    ("key", "check"),
    ("migrate",),
    ("notify", "list"),
    ("notify", "test"),
    ("restore", "no-file"),
    ("webhook", "subscribe"),
    ("webhook", "check", "https://gateway.example"),
]


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError(["PORT is wrong."]), USAGE, "The gateway cannot start:\n  - PORT is wrong.\n"),
        (UsageError("No such file."), USAGE, "No such file.\n"),
        (
            InvalidRequestError("A wrong argument.", hint="Accepted: another."),
            USAGE,
            "A wrong argument.\nAccepted: another.\n",
        ),
        (ProviderNotConfiguredError("No key.", provider="instagram", hint="Set it."), USAGE, "No key.\nSet it.\n"),
        (Refused("There is no such key."), FAILED, "There is no such key.\n"),
        (MigrationError("The store is newer."), FAILED, "The store is newer.\n"),
        (AccountUnknownError("No such account.", hint="Add it."), USAGE, "No such account.\nAdd it.\n"),
        (DatabaseUnavailableError("locked"), FAILED, "The database is unavailable: locked\nGive it again.\n"),
        (KeyboardInterrupt(), INTERRUPTED, "\nStopped here.\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_failure_is_said_and_has_its_status(capsys, error, status, said):
    ended = end(raising(error), again="Give it again.", stopped="Stopped here.")

    assert (ended, capsys.readouterr().err) == (status, said)


def test_the_status_of_the_work_is_that_of_the_command():
    assert [end(lambda: DONE), end(lambda: FAILED)] == [0, 1]


def test_ctrl_c_without_a_text_ends_as_for_all_commands():
    with pytest.raises(KeyboardInterrupt):
        end(raising(KeyboardInterrupt()))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_setting_that_cannot_be_used_ends_every_command_alike(monkeypatch, capsys, command):
    monkeypatch.setenv("PORT", "none")

    ended = import_module(f"commands.{command[0]}").main(command[1:])

    assert (ended, bool(capsys.readouterr().err)) == (USAGE, True)


UNUSABLE = [
    ("account", "add"),
    ("account", "add", "--file", "no-file"),
    ("account", "check", "no.account"),
    ("account", "forget", "17841400000000001"),
    ("account", "forget", "no.account", "--yes"),
    ("account", "remove", "no.account"),
    ("account", "rekey"),
    ("account", "rekey", "--check"),
    ("backfill", "--until", "2015-01-31"),
    ("backup", "--out", "/proc/nothing"),
    ("export", "--metrics", "no-metric"),
    ("export", "--out", "/proc/nothing"),
    ("import_history", "no-file"),
    ("import_history", "."),
    ("key", "change", "no-key", "--scope", "admin"),
    ("key", "create", "shop", "--expires", "2020-01-31"),
    ("key", "revoke", "no-key"),
    ("key", "rotate", "no-key"),
    ("notify", "test"),
    ("restore", "no-file"),
    ("restore", "."),
    ("webhook", "check", "no-address"),
]


@pytest.mark.parametrize("command", UNUSABLE, ids=" ".join)
def test_what_is_given_and_cannot_be_used_ends_every_command_alike(run_command, command):
    """The settings that `account` and `notify test` need are missing."""
    module = import_module(f"commands.{command[0]}")

    ended, said, complained = run_command(module, Config.from_env({"INSTANCE_PATH": new_instance()}), *command[1:])

    assert (ended, said, bool(complained)) == (USAGE, "", True)


NO_ACCOUNT = [
    ("account", "check", "no.account"),
    ("backfill", "--account", "17841400000000099"),
    ("export", "--account", "17841400000000099"),
    ("key", "create", "shop", "--accounts", "no.account"),
    ("webhook", "subscribe", "17841400000000099"),
]


@pytest.mark.parametrize("command", NO_ACCOUNT, ids=" ".join)
def test_an_account_that_is_not_here_is_an_argument_that_cannot_be_used(run_command, command):
    """One account is here, so that Instagram is configured and no provider has to be asked for the other."""
    module = import_module(f"commands.{command[0]}")
    config = Config.from_env({"INSTANCE_PATH": new_instance(), "TOKEN_KEY": new_key(), "PROVIDERS": "live"})
    typed = "EAAoneACCOUNTofTHEtable\n"
    added = run_command(account, config, "add", "--id", "17841400000000001", "--username", "bakery", typed=typed)

    ended, said, complained = run_command(module, config, *command[1:])

    assert (added[0], ended, said, bool(complained)) == (DONE, USAGE, "", True)


def test_a_database_that_does_not_answer_is_tried_again_and_one_of_another_version_is_not(monkeypatch, capsys):
    def connect(**environ):
        for name, value in ({"TOKEN_KEY": new_key()} | environ).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", io.StringIO("EAAoneACCOUNTofTHEtable\n"))
        ended = import_module("commands.connect").main(["--all", "--json"])
        return ended, json.loads(capsys.readouterr().out)["status"]

    unreachable = connect(DATABASE_URL="postgresql://127.0.0.1:9/nothing")
    monkeypatch.delenv("DATABASE_URL")
    store = {"INSTANCE_PATH": new_instance()}
    query(store, "gateway", "UPDATE gateway_version SET version_num = '9999'")

    assert (unreachable, connect(**store)) == ((3, "try_again"), (FAILED, "not_connected"))
