"""What the documents say and what the gateway does are the same list."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from config import Config
from routes.documentation import error_classes, error_codes
from routes.errors import HTTP_CODES
from services.errors import InsightsError
from tests.support import ROOT

SETTINGS = [field.name.upper() for field in fields(Config)]
CODES = sorted(
    {*HTTP_CODES.values(), InsightsError.code, *(code for kind in error_classes() for code in error_codes(kind))}
)
# A path that the readme promises: in a heading, or in a call to the gateway's own port.
HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
CALL = re.compile(r"(?:127\.0\.0\.1|localhost):8000(/[\w./-]*)")


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def example():
    """The names that the example of the settings has, commented out or not."""
    return re.findall(r"^#? ?([A-Z][A-Z0-9_]+) ?=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def paths_of(client):
    return sorted(rule.rule for rule in client.application.url_map.iter_rules())


# Settings


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_stands_in_the_example(example, name):
    assert example.count(name) == 1


def test_the_example_has_no_other_setting(example):
    assert sorted(set(example) - set(SETTINGS)) == []


def test_the_example_is_one_that_starts():
    assert Config.from_env({}, ROOT / ".env.example").sandbox


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_stands_in_the_readme(readme, name):
    assert re.search(rf"`{name}`", readme)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_example_tells_the_default(name):
    text = (ROOT / ".env.example").read_text()
    default = Config.__dataclass_fields__[name.lower()].default

    (value,) = re.findall(rf"^#? ?{name} ?= ?(.*?) *(?:#.*)?$", text, re.MULTILINE)

    # What has no default, or one that depends on the others, is left empty.
    assert value in {"", str(default), f"{default:g}" if isinstance(default, float) else "", str(default).lower()}


# Paths


def test_every_path_stands_in_the_contract_and_no_other(client):
    document = client.get("/openapi.json").get_json()

    assert sorted(document["paths"]) == paths_of(client)


def test_every_path_stands_in_the_readme(client, readme):
    assert [path for path in paths_of(client) if not re.search(rf"(?<![\w/]){re.escape(path)}(?![\w/])", readme)] == []


def test_the_readme_promises_no_path_that_is_not_there(client, readme):
    headings = " ".join(HEADING.findall(readme))
    promised = {*re.findall(r"\bGET (/[\w./-]*)", headings), *CALL.findall(readme)}

    assert {"/account-insights", "/healthz"} <= promised
    assert sorted(promised - set(paths_of(client))) == []


# Errors


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_stands_in_the_readme(readme, code):
    assert f"`{code}`" in readme
