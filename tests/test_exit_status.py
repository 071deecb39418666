"""How the commands end: their exit statuses, and what they say, without a traceback."""

from __future__ import annotations

from importlib import import_module

import pytest

from commands import DONE, FAILED, INTERRUPTED, USAGE, MigrationError, Refused, UsageError
from commands.exit_status import end
from config import Config, ConfigError
from services.errors import AccountUnknownError, InvalidRequestError, ProviderNotConfiguredError
from services.store.database import DatabaseUnavailableError
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
        (AccountUnknownError("No such account.", hint="Add it."), FAILED, "No such account.\nAdd it.\n"),
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
    ("account", "rekey"),
    ("account", "rekey", "--check"),
    ("export", "--metrics", "no-metric"),
    ("import_history", "no-file"),
    ("import_history", "."),
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
