"""Login x endpoint x fault: what callers get, as a table to read (tests/matrix.md), made on the wire.

`UPDATE_MATRIX=1 pytest tests/end_to_end/test_matrix.py` writes the table again; read its difference before you keep it.
"""

from __future__ import annotations

import os

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
REPORT = "/performance-data?url=nasa"
COLUMNS = [f"{login}, {name}" for login in ("facebook", "instagram") for name in ENDPOINTS]


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
    values = [value for entry in body.get("data", []) for value in entry["values"]]
    known = [*values, *body.get("trends", [])]
    reasons = sorted({str(each["reason"]) for each in known if each.get("reason")})
    if reasons:
        return f"200, null: {', '.join(reasons)}"
    return "200, no posts" if body.get("top_posts") == [] else "200"


def row_of(client_of, simulator, name: str, fault: dict) -> str:
    cells = []
    for login in ("facebook", "instagram"):
        for path in ENDPOINTS.values():
            simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=10)
            # A new gateway for each cell, so that none remembers what another was refused.
            client = client_of(login)
            simulator.post("/_simulator/faults", {"provider": "instagram", **fault})
            cells.append(cell(client.get(path)))
    return f"| {name} | {' | '.join(cells)} |"


def rows_of(simulator, provider: str) -> list[str]:
    return list(simulator.get("/_simulator/faults/rows").json()[provider])


def check(lines: list[str], section: str) -> None:
    """Compare with (or write) the section of the table."""
    text = MATRIX.read_text(encoding="utf-8") if MATRIX.exists() else ""
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    made = begin + "\n".join(lines) + "\n" + end
    if os.environ.get("UPDATE_MATRIX"):
        before, _, rest = text.partition(begin)
        MATRIX.write_text(before + made + rest.partition(end)[2], encoding="utf-8")
    assert made in MATRIX.read_text(encoding="utf-8")
    assert not any("| |" in line or "500" in line.split("|")[2:] for line in lines)


def test_instagram_s_part_of_the_matrix(client_of, simulator):
    # The simulator words each refusal as the provider does, in the dialect of the login.
    worded = {f"as worded: {row}": {"kind": "refusal", "row": row} for row in rows_of(simulator, "instagram")}
    rows = [row_of(client_of, simulator, name, fault) for name, fault in (OF_INSTAGRAM | worded).items()]

    head = [f"| fault | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    check([*head, *rows], "Instagram")


def test_modash_s_part_of_the_matrix(client_of, simulator):
    rows = ["| fault | performance-data |", "| --- | --- |"]
    worded = {f"as worded: {row}": {"kind": "refusal", "row": row} for row in rows_of(simulator, "modash")}
    for name, fault in (OF_MODASH | worded).items():
        simulator.session.delete(f"{simulator.url}/_simulator/faults", timeout=10)
        client = client_of("facebook")
        simulator.post("/_simulator/faults", {"provider": "modash", "path": "performance-data", **fault})
        rows.append(f"| {name} | {cell(client.get(REPORT))} |")

    check(rows, "Modash")


def test_every_row_of_the_outcomes_is_what_callers_get():
    lines = [line.strip("| ").split(" | ") for line in MATRIX.read_text(encoding="utf-8").splitlines() if "|" in line]
    top_posts = {cells[0]: cells[3] for cells in lines if len(cells) == len(COLUMNS) + 1}
    reports = {cells[0]: cells[1] for cells in lines if len(cells) == 2}

    for (code, subcode), outcome in INSTAGRAM_RULES.items():
        assert top_posts[row_name(code, subcode)] == f"{outcome.error.status} {outcome.error.code}"
    for name, outcome in MODASH_RULES.items():
        assert reports[name] == f"{outcome.error.status} {outcome.cause or outcome.error.code}"
