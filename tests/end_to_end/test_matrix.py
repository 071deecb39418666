"""Login x endpoint x fault: what callers get, as a table to read (tests/matrix.md), made on the wire.

`/history` and the other endpoints over what is kept call no provider, so they have no column.

`UPDATE_MATRIX=1 pytest tests/end_to_end/test_matrix.py` writes the table again, in one process, because several tests
share a section of it; read its difference before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest

from config import Config
from services.clients.graph.error_codes import INSTAGRAM_RULES
from services.clients.modash.error_codes import MODASH_RULES
from tests.support import ROOT, UNLIMITED_MODASH_RATE

MATRIX = ROOT / "tests" / "matrix.md"
ENDPOINTS = {
    "account-insights": "/account-insights?period=day&metrics=reach,views,email_contacts",
    "growth-trends": "/growth-trends?period=7d",
    "top-posts": "/top-posts?time_range=7d",
}
OF_MEDIA = {
    "audience": "/audience?metrics=follower_demographics&breakdown=country",
    "stories": "/stories",
    "media insights": "/api/instagram/insights/{media_id}",
}
REPORT = "/performance-data?url=nasa"
LOGINS = ("facebook", "instagram")

# Tests that share the rows of a section: the longest test decides when a run in several processes ends.
PARTS, PARTS_OF_MEDIA = 4, 2


def row_name(code: int, subcode: int | None) -> str:
    return str(code) if subcode is None else f"{code}/{subcode}"


def refusal(code: int, subcode: int | None) -> dict:
    return {"kind": "error", "status": 400, "code": code, **({} if subcode is None else {"subcode": subcode})}


WIRE = {
    "slow": {"kind": "slow", "delay_seconds": 5},
    "HTML, status 200": {"kind": "html", "status": 200},
    "HTML, status 502": {"kind": "html", "status": 502},
    "not JSON": {"kind": "not_json"},
    "a list": {"kind": "wrong_type", "value": []},
    "null": {"kind": "wrong_type", "value": None},
    "a text": {"kind": "wrong_type", "value": "text"},
    "truncated": {"kind": "truncated"},
    "NaN": {"kind": "nan"},
    "not UTF-8": {"kind": "invalid_utf8"},
    "byte order mark": {"kind": "bom"},
    "nested 100,000 deep": {"kind": "deep_nesting"},
    "empty body": {"kind": "empty_body"},
    "status 204": {"kind": "no_content"},
    "cut": {"kind": "cut"},
    "broken gzip": {"kind": "gzip_broken"},
    "far too large": {"kind": "too_large"},
    "redirected": {"kind": "redirect"},
    "an error at status 200": {"kind": "error_200"},
    "an error that echoes the token": {"kind": "echo_token"},
}
DAMAGED = ("HTML, status 200", "HTML, status 502", "null", "truncated", "redirected", "an error at status 200")
OF_INSTAGRAM = {
    **{row_name(code, subcode): refusal(code, subcode) for code, subcode in sorted(INSTAGRAM_RULES, key=str)},
    "10, too few viewers": {
        "kind": "error",
        "status": 400,
        "code": 10,
        "message": "(#10) Not enough viewers for the media to show insights",
    },
    "an unknown code": refusal(123456, None),
    "200": refusal(200, None),
    "no data": {"kind": "empty"},
    **WIRE,
}
OF_MODASH = {
    **{code: {"kind": "error", "status": 400, "code": code} for code in MODASH_RULES},
    **{
        f"status {status}": {"kind": "error", "status": status, "code": "other"} for status in (401, 403, 404, 429, 500)
    },
    **{
        f"retry_later, {shape}, status {status}": {"kind": "retry_later", "shape": shape, "status": status}
        for shape in ("vendor", "seed", "mixed")
        for status in (200, 400, 429, 503)
    },
    **WIRE,
}


@pytest.fixture
def client_of(simulator, make_client):
    simulator.post("/_simulator/switches", {"modash_rate_limit": 0})

    def build(login: str):
        port = simulator.url.rpartition(":")[2]
        patience = {
            "READ_TIMEOUT": "2",
            "RETRY_BUDGET": "0",
            "MODASH_RATE": str(UNLIMITED_MODASH_RATE),
            "LOG_LEVEL": "ERROR",
        }
        return make_client(Config.from_env({"SIMULATOR_PORT": port, "GRAPH_LOGIN": login} | patience))

    return build


def cell(response) -> str:
    """What a caller gets, in a few words."""
    body = response.get_json()
    if response.status_code >= 300:
        return f"{response.status_code} {body['code']}"
    if response.status_code == 202:
        return f"202 {body['status']}"
    reasons = sorted(set(reasons_in({name: part for name, part in body.items() if name != "meta"})))
    if reasons:
        return f"200, null: {', '.join(reasons)}"
    empty = next((name for name in ("top_posts", "stories") if body.get(name) == []), None)
    return "200" if empty is None else f"200, no {empty.removeprefix('top_')}"


def reasons_in(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if part.get("reason"):
            yield str(part["reason"])
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from reasons_in(each)


def head_of(endpoints: dict[str, str]) -> list[str]:
    columns = [f"{login}, {name}" for login in LOGINS for name in endpoints]
    return [f"| fault | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]


def row_of(client_of, simulator, paths: Iterable[str], name: str, fault: dict) -> str:
    fail(simulator, {"provider": "instagram", **fault})
    # A new gateway for each cell, so that none remembers what another was refused.
    cells = [cell(client_of(login).get(path)) for login in LOGINS for path in paths]
    return f"| {name} | {' | '.join(cells)} |"


def fail(simulator, fault: dict) -> None:
    """Have every call of a provider fail in one way, and in no other one."""
    simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=10)
    simulator.post("/_simulator/faults", fault)


def rows_of(simulator, provider: str) -> list[str]:
    return list(simulator.get("/_simulator/faults/rows").json()[provider])


def section_of(text: str, section: str) -> tuple[str, list[str], str]:
    """Return what stands before the lines of a section of the table, these, and what stands after them."""
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    before, _, rest = text.partition(begin)
    lines, _, after = rest.partition(end)
    return before + begin, lines.splitlines(), end + after


def check(section: str, head: list[str], names: Iterable[str], part: list[str]) -> None:
    """Compare rows with (or write them to) a section of the table, which has the named rows and no other one."""
    text = MATRIX.read_text(encoding="utf-8")
    before, kept, after = section_of(text, section)
    rows = {name_of(row): row for row in kept[len(head) :]} | {name_of(row): row for row in part}
    made = [*head, *(rows[name] for name in names if name in rows)]
    if os.environ.get("UPDATE_MATRIX"):
        kept = made
        MATRIX.write_text("".join([before, *(f"{line}\n" for line in kept), after]), encoding="utf-8")
    assert kept == made
    assert os.environ.get("UPDATE_MATRIX") or [name_of(row) for row in made[len(head) :]] == list(names)
    assert not any("| |" in line or "500" in line.split("|")[2:] for line in part)


def name_of(row: str) -> str:
    return row.strip("| ").partition(" | ")[0]


@pytest.mark.parametrize("part", range(PARTS))
def test_instagram_s_part_of_the_matrix(client_of, simulator, part):
    # The simulator words each refusal as the provider does, in the dialect of the login.
    worded = {f"as worded: {row}": {"kind": "refusal", "row": row} for row in rows_of(simulator, "instagram")}
    faults = OF_INSTAGRAM | worded
    rows = [row_of(client_of, simulator, ENDPOINTS.values(), *row) for row in list(faults.items())[part::PARTS]]

    check("Instagram", head_of(ENDPOINTS), faults, rows)


@pytest.mark.parametrize("part", range(PARTS_OF_MEDIA))
def test_the_part_of_audience_stories_and_media(client_of, simulator, part):
    [newest, *_] = client_of("facebook").get(ENDPOINTS["top-posts"]).get_json()["top_posts"]
    paths = [path.format(media_id=newest["id"]) for path in OF_MEDIA.values()]
    # Words and damage are read in one place for all endpoints, so some of the damage will do.
    faults = {name: fault for name, fault in OF_INSTAGRAM.items() if name not in WIRE or name in DAMAGED}
    rows = [row_of(client_of, simulator, paths, *row) for row in list(faults.items())[part::PARTS_OF_MEDIA]]

    check("audience, stories and media", head_of(OF_MEDIA), faults, rows)


def test_modash_s_part_of_the_matrix(client_of, simulator):
    worded = {f"as worded: {row}": {"kind": "refusal", "row": row} for row in rows_of(simulator, "modash")}
    faults, rows = OF_MODASH | worded, []
    for name, fault in faults.items():
        fail(simulator, {"provider": "modash", "path": "performance-data", **fault})
        rows.append(f"| {name} | {cell(client_of('facebook').get(REPORT))} |")

    check("Modash", ["| fault | performance-data |", "| --- | --- |"], faults, rows)


def test_every_row_of_the_outcomes_is_what_callers_get():
    text = MATRIX.read_text(encoding="utf-8").partition("<!-- audience, stories and media -->")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if "|" in line]
    top_posts = {cells[0]: cells[3] for cells in lines if len(cells) == 1 + len(LOGINS) * len(ENDPOINTS)}
    reports = {cells[0]: cells[1] for cells in lines if len(cells) == 2}

    for (code, subcode), outcome in INSTAGRAM_RULES.items():
        assert top_posts[row_name(code, subcode)] == f"{outcome.error.status} {outcome.error.code}"
    for name, outcome in MODASH_RULES.items():
        assert reports[name] == f"{outcome.error.status} {outcome.cause or outcome.error.code}"
