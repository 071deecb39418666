"""Every address, header and parameter of docs/recipes.md, sent to a gateway as the tool of the recipe sends it."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import subprocess

import pytest

from commands import key as key_command
from services.store.history import HistoryKey, HistoryValue
from tests.documents import section
from tests.support import ACCOUNT_ID, ROOT, new_instance, settings, table_text

RECIPES = ROOT / "docs" / "recipes.md"
DAYS = ("2026-06-01", "2026-06-02")
POST = "17900000000000001"
# The services of Google that the script calls: they note what they get.
GOOGLE = """
const asked = {}, texts = [];
const range = (where) => ({setNumberFormat: () => texts.push(where), setValues: (rows) => { asked.rows = rows; }});
const sheet = {clearContents: () => {}, getRange: (...where) => range(where.join())};
const SpreadsheetApp = {getActive: () => ({getSheetByName: () => null, insertSheet: () => sheet})};
const UrlFetchApp = {fetch: (url, {headers}) => {
  Object.assign(asked, {url, headers});
  return {getContentText: () => GIVEN};
}};
const Utilities = {parseCsv: (text) => { asked.text = text; return ROWS; }};
"""


@pytest.fixture
def gateway(make_client, run_command):
    """Send what a tool sends, with the key that the page has made; return the text of the table."""
    config = settings(allow_anonymous=False, instance_path=new_instance())
    (arguments,) = re.findall(r'make key ARGS="(.*)"', section(RECIPES, "Access over HTTP"))
    ended, out, _ = run_command(key_command, config, *shlex.split(arguments.replace("corner.bakery", ACCOUNT_ID)))
    assert ended == 0
    client = make_client(config)
    history = client.application.extensions["services"].store.history
    history.keep(
        ACCOUNT_ID, {HistoryKey("reach", (), day, day): HistoryValue(7, None, 1_781_000_000.0) for day in DAYS}
    )

    def send(url, headers, **params):
        sent = {name: value.replace("KEY", out.strip()) for name, value in headers.items()}
        path = url.removeprefix("https://insights.example")
        assert path.startswith("/export")
        named = {name: value.replace("corner.bakery", ACCOUNT_ID) for name, value in params.items()}
        response = client.get(path.replace("corner.bakery", ACCOUNT_ID), query_string=named or None, headers=sent)
        assert response.status_code == 200, response.get_json()
        return table_text(response)

    return send


def rows_of(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the script")
def test_the_script_of_google_sheets_fills_a_sheet_with_ids_as_texts(gateway):
    (script,) = re.findall(r"```javascript\n(.*?)```", section(RECIPES, "Google Sheets"), re.DOTALL)

    def run(given):
        program = (
            f"const GIVEN = {json.dumps(given)}, ROWS = {json.dumps(rows_of(given[1:]))};{GOOGLE}{script}insights();"
        )
        program += "console.log(JSON.stringify({...asked, texts}));"
        return json.loads(subprocess.run(["node", "-e", program], capture_output=True, check=True, timeout=60).stdout)

    asked = run("\ufeffaccount,media\r\n")
    text = gateway(asked["url"], asked["headers"])
    filled = run("\ufeff" + text)

    assert filled["text"] == text
    assert filled["rows"][1][0] == f"'{ACCOUNT_ID}"
    columns = [filled["rows"][0][ord(where[0]) - ord("A")] for where in filled["texts"] if where[0].isalpha()]
    assert columns == ["account", "media"]


def test_the_query_of_power_bi_gets_the_columns_that_it_gives_types(gateway):
    page = section(RECIPES, "Power BI")
    (host,), (path,) = re.findall(r'Web\.Contents\("(.*?)"', page), re.findall(r'RelativePath = "(.*?)"', page)
    (query,), (headers,) = re.findall(r"Query = \[(.*?)\]", page), re.findall(r"Headers = \[(.*?)\]", page)

    rows = rows_of(
        gateway(
            f"{host}/{path}",
            dict(re.findall(r'#"(.*?)" = "(.*?)"', headers)),
            **dict(re.findall(r'(\w+) = "(.*?)"', query)),
        )
    )

    typed = re.findall(r'\{"(\w+)", type (\w+)\}', page)
    assert {name for name, _ in typed} <= set(rows[0])
    assert len(rows) == 1 + len(DAYS)
    for name, kind in typed:
        for row in rows[1:]:
            cell = row[rows[0].index(name)].removeprefix("'")
            pattern = {"text": r".*", "date": r"\d{4}-\d\d-\d\d", "number": r"-?\d+(\.\d+)?"}[kind]
            assert re.fullmatch(pattern, cell), (name, cell)


def test_the_request_of_n8n_is_answered_and_its_file_has_a_mark_to_leave_out(gateway):
    page = section(RECIPES, "n8n")
    (url,) = re.findall(r"GET `(.*?)`", page)
    parameters = page.partition("query parameters ")[2].partition("; authentication")[0]
    assert re.findall(r"`(\w+)`", parameters)[:2] == ["account", "since"]
    (name,), (value,) = re.findall(r"with the name `(.*?)`", page), re.findall(r"the value `(.*?)`", page)
    (since,) = re.findall(r"`(=\{\{.*?\}\})`", parameters)
    assert since == "={{ $now.minus({days: 7}).toISODate() }}"

    text = gateway(url, {name: value}, account="corner.bakery", since=DAYS[1], format="csv")  # It begins with a mark.

    assert "**Exclude Byte Order Mark (BOM)**" in page
    assert rows_of(text)[0][0] == "account"
    assert rows_of(text)[1][0] == f"'{ACCOUNT_ID}"
