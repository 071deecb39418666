"""Reads the documents: their text, their links, the commands that a reader runs, and the answers that they show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXACT = {"code", "name", "metric", "key", "status", "source", "outcome"}  # keys whose texts must be as shown
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CURL_IN_TABLE = re.compile(r"^\|.*`(curl [^`]+)`.*$", re.MULTILINE)


@dataclass
class Step:
    """Commands of a document, and the output that it shows for them."""

    line: int
    commands: str
    language: str = ""
    shown: str = ""


def section(path: Path, heading: str) -> str:
    """The part of a document below a heading."""
    _, _, rest = path.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert rest, f"{path.name} has no heading {heading}"
    return rest.partition("\n## ")[0]


def steps_of(path: Path) -> list[Step]:
    """Return the commands of a document that its reader runs, in order."""
    text = path.read_text(encoding="utf-8")
    steps: list[Step] = []
    answers = False  # whether the block before was one of commands
    for position, language, content in _blocks(text):
        line = text.count("\n", 0, position) + 1
        if language == "sh":
            steps.append(Step(line, content))
        elif answers and language in {"json", "text"}:
            steps[-1].language, steps[-1].shown = language, content
        answers = language == "sh"
    return steps


def console_lines(path: Path, *, after: str = "") -> list[str]:
    """Return the commands of a document's `console` blocks, or of the first one behind the line that begins so."""
    text = path.read_text(encoding="utf-8")
    start = re.search(rf"^{re.escape(after)}", text, re.MULTILINE)
    assert start is not None, f"{path.name} has no line that begins {after}"
    blocks = [content for _, language, content in _blocks(text[start.start() :]) if language == "console"]
    chosen = blocks[:1] if after else blocks
    return [line.removeprefix("$ ") for block in chosen for line in block.splitlines() if line.startswith("$ ")]


def _blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield position, language and content of each block and of each `curl` in a table, in the order of the page."""
    found = [(each.start(), each[1], each[2]) for each in FENCE.finditer(text)]
    found += [(each.start(), "sh", f"{each[1]}\n") for each in CURL_IN_TABLE.finditer(FENCE.sub(_blank, text))]
    return iter(sorted(found))


def _blank(block: re.Match[str]) -> str:
    """Keep the positions of what stands behind a block."""
    return re.sub(r"[^\n]", " ", block[0])


def prose_of(path: Path) -> str:
    """Return a document without its blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors_of(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def tables_of(text: str) -> Iterator[list[str]]:
    """Yield the cells of each table row, without headers and rulers."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        is_header = number + 1 < len(lines) and re.match(r"^\|[ |:-]+\|$", lines[number + 1])
        if line.startswith("|") and not is_header and not re.match(r"^\|[ |:-]+\|$", line):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def pattern_of(path):
    """The pattern of a path as OpenAPI writes it: each part in braces stands for any name."""
    return re.sub(r"\\{\w+\\}", r"[^/?\\s]+", re.escape(path))


def parsed(shown: str) -> Any:
    """Return a shown answer, without the places where it is shortened."""
    return json.loads(re.sub(r",?\s*\.\.\.(?=\s*[\]}])", "", shown))


def differences(shown: Any, real: Any, where: str) -> list[str]:
    """Return what a shown answer has that a real one has not: keys, types, and the texts of some keys."""
    if shown is None or real is None:
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        lacking = [f"{where}.{key} is not in the answer" for key in shown.keys() - real.keys()]
        return lacking + [
            each for key in shown.keys() & real.keys() for each in differences(shown[key], real[key], f"{where}.{key}")
        ]
    if isinstance(shown, list) and isinstance(real, list):
        return [
            f"{where} has nothing like {each}"
            for each in shown
            if not any(not differences(each, one, "") for one in real)
        ]
    if isinstance(shown, str) and isinstance(real, str):
        is_other = where.rpartition(".")[2] in EXACT and shown != real
        return [f"{where} is {real!r}, not {shown!r}"] if is_other else []
    kinds = [
        bool if isinstance(each, bool) else float if isinstance(each, int | float) else type(each)
        for each in (shown, real)
    ]
    return [] if kinds[0] is kinds[1] else [f"{where} is {real!r}, shown as {shown!r}"]
