"""`make export` and `make import`: what they write, read and say."""

from __future__ import annotations

import codecs
import gzip
import json
import os
from itertools import islice

import pytest

from commands import export, import_history
from config import Config
from services.export import Export
from services.store.exported_tables import SECTIONS
from services.store.store import Store
from tests.history.transfer.history_rows import fill
from tests.stores import new_store, query
from tests.support import ACCOUNT_ID, TOKEN

LIVE = {"PROVIDERS": "live", "ACCESS_LONG_LIVED_TOKEN": TOKEN, "INSTAGRAM_ACCOUNT_ID": ACCOUNT_ID}


@pytest.fixture
def settings():
    with new_store("sqlite") as found:
        yield LIVE | found


@pytest.fixture
def run(settings, run_command):
    """Run a command over the store; return what it ended with, wrote and said."""
    return lambda command, *arguments, **changes: run_command(command, Config.from_env(settings | changes), *arguments)


@pytest.fixture
def kept(settings):
    store = Store.open("", settings["INSTANCE_PATH"], mode="live")
    fill(store)
    store.close()


def test_a_file_is_written_and_read_again(run, kept, settings, tmp_path):
    first, second = tmp_path / "first.ndjson.gz", tmp_path / "second.csv"
    assert run(export, "--out", str(first)) == (
        0,
        "",
        f"{len(lines_of(first)):,} lines of 2 accounts are in {first}.\n",
    )
    assert {line["mode"] for line in lines_of(first)} == {"live"}
    assert first.stat().st_mode & 0o077 == 0
    for table in [section.table.name for section in SECTIONS]:
        query(settings, "gateway", f"DELETE FROM {table}")

    assert run(import_history, str(first))[0] == 0
    counted = f"{len(lines_of(first)):,} lines of 2 accounts are in {second}.\n"
    assert run(export, "--format", "csv", "--out", str(second)) == (0, "", counted)
    ended, said, _ = run(import_history, str(second))

    again = tmp_path / "again.ndjson.gz"
    run(export, "--out", str(again))
    assert again.read_bytes() == first.read_bytes()
    assert (ended, said.endswith(" 0 lines were refused.\n")) == (0, True)
    assert "are kept (with their buckets, of which each has a line of its own)" in said
    assert list(tmp_path.glob("*.part")) == []


def test_two_exports_to_one_file_at_once_are_both_whole(run, kept, tmp_path, monkeypatch):
    file, alone, text = tmp_path / "history.ndjson", tmp_path / "alone.ndjson", Export.text
    assert run(export, "--out", str(alone))[0] == 0
    ended = []

    def interrupted(service, *which):
        lines = text(service, *which)
        yield from islice(lines, 9)
        with monkeypatch.context() as patched:
            patched.setattr(Export, "text", text)
            ended.append(export.main(["--out", str(file)]))
        assert file.read_bytes() == alone.read_bytes()
        yield from lines

    monkeypatch.setattr(Export, "text", interrupted)
    ended.append(run(export, "--out", str(file))[0])

    assert ended == [0, 0]
    assert file.read_bytes() == alone.read_bytes()
    assert sorted(tmp_path.iterdir()) == [alone, file]


def test_one_account_is_exported_by_its_id_also_after_it_was_removed(run, kept):
    ended, text, _ = run(
        export,
        "--account",
        "17841400000000002",
        "--metrics",
        "followers",
        "--until",
        "2025-11-02",
        TOKEN_KEY="",
    )

    found = [json.loads(line) for line in text.splitlines()]
    assert (ended, {line["account"] for line in found}) == (0, {"17841400000000002"})
    assert [(line["metric"], line["date"]) for line in found] == [
        ("followers", "2025-11-01"),
        ("followers", "2025-11-02"),
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--account", "17841400000000099"], 1, "--account '17841400000000099': there is no such account here"),
        (["--account", "nope"], 1, "It was not looked up as a username: "),
        (["--metrics", "views,nope"], 2, "metrics: 'nope' is not kept"),
        (["--metrics", "\udcff"], 2, "metrics: '\\udcff' is not kept"),
    ],
)
def test_an_account_or_metric_that_is_nowhere_is_named_without_a_provider(run, kept, arguments, status, words):
    ended, text, errors = run(export, *arguments)

    assert (ended, text) == (status, "")
    assert words in errors
    assert "17841400000000001, 17841400000000002" in errors or "Accepted: " in errors
    assert "Traceback" not in errors


def test_a_bad_line_is_named_and_the_command_fails(run, tmp_path):
    file = tmp_path / "bad.ndjson"
    file.write_text("{}\nnonsense\n")

    ended, said, errors = run(import_history, str(file))

    assert (ended, said) == (1, "2 lines were read: 0 values, posts and stories are kept, 2 lines were refused.\n")
    assert errors == "line 1: mode: accepted: live, sandbox\nline 2: it is not JSON; the file may be cut off here\n"
    file.write_text("{}\n")
    assert run(import_history, str(file))[0] == 1


ENCODINGS = [(name, each) for name in ("again.csv", "again.ndjson.gz") for each in ("utf-8-sig", "utf-16", "utf-16-be")]


@pytest.mark.parametrize(("name", "encoding"), ENCODINGS)
@pytest.mark.usefixtures("kept")
def test_a_file_that_a_spreadsheet_has_saved_in_another_encoding_is_read(run, settings, tmp_path, encoding, name):
    form = ["--format", name.split(".")[1]]
    _, text, _ = run(export, *form)
    for table in [section.table.name for section in SECTIONS]:
        query(settings, "gateway", f"DELETE FROM {table}")
    content = (text if encoding == "utf-16-be" else text.removeprefix("\ufeff")).encode(encoding)
    if encoding == "utf-16-be" and form[1] == "ndjson":
        content = codecs.BOM_UTF16_BE + content
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    ended, _, errors = run(import_history, str(tmp_path / name))

    assert (ended, errors) == (0, "")
    assert run(export, *form)[1] == text


def test_a_file_in_no_accepted_encoding_says_which_are(run, tmp_path):
    file = tmp_path / "windows.csv"
    file.write_bytes("account,metric\r\nr\u00e9ach\r\n".encode("cp1252"))

    ended, _, errors = run(import_history, str(file))

    assert ended == 2
    assert errors.splitlines()[-1] == "Accepted: text in UTF-8 or, with a byte order mark, in UTF-16."


def test_a_file_of_the_other_mode_is_refused(run, kept, tmp_path):
    file = tmp_path / "live.ndjson"
    run(export, "--out", str(file))

    ended, _, errors = run(import_history, str(file), PROVIDERS="sandbox", ACCESS_LONG_LIVED_TOKEN="")

    assert ended == 2
    assert errors.startswith("Line 1 is of live mode, and this gateway runs in sandbox mode.")


@pytest.mark.parametrize("name", ["nowhere.ndjson", "cut.ndjson.gz", "damaged.ndjson.gz"])
def test_a_file_that_cannot_be_read_is_an_error_of_one_line(run, tmp_path, name):
    (tmp_path / "cut.ndjson.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    (tmp_path / "damaged.ndjson.gz").write_bytes(gzip.compress(b"")[:10] + b"\xff" * 50)

    ended, _, errors = run(import_history, str(tmp_path / name))

    assert ended == 2
    assert "cannot be read" in errors
    assert "Traceback" not in errors


def test_an_export_into_a_pipe_leaves_it_a_pipe(run, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        ended, _, _ = run(export, "--format", "csv", "--account", ACCOUNT_ID, "--out", str(pipe))

        assert ended == 0
        assert pipe.is_fifo()
        assert b"account,metric," in os.read(reader, 100)
    finally:
        os.close(reader)


@pytest.mark.parametrize("command", [export, import_history])
def test_a_command_that_is_interrupted_says_so_and_leaves_no_file(run, kept, tmp_path, monkeypatch, command):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("services.store.transfer.Transfer.lines", interrupt)
    monkeypatch.setattr("services.history.transfer.importing.HistoryImport.read", interrupt)
    (tmp_path / "given.ndjson").touch()
    arguments = {export: ["--out", str(tmp_path / "out.ndjson")], import_history: [str(tmp_path / "given.ndjson")]}

    ended, _, errors = run(command, *arguments[command])

    assert ended == 130
    assert errors.startswith("\nStopped.")
    assert [path.name for path in tmp_path.iterdir()] == ["given.ndjson"]


def test_an_export_since_a_day_after_its_last_one_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        run(export, "--since", "2026-11-20", "--until", "2026-11-01")

    assert "--since 2026-11-20 is after --until 2026-11-01" in capsys.readouterr().err


def lines_of(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
