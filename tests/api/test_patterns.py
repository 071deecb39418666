"""What the OpenAPI document says of a parameter is what the gateway accepts, value by value."""

from __future__ import annotations

import re
from random import Random
from re import _parser
from urllib.parse import quote
from zoneinfo import available_timezones

import pytest

from app import create_app
from routes.documentation import path_of
from routes.query_parameters import AnyQuery
from routes.validation import takes
from tests.support import settings

# What is put into a value, or in the place of a character of it.
ODD = [
    "",
    "0",
    "9",
    "a",
    "Z",
    "_",
    ".",
    "-",
    "@",
    "/",
    "+",
    "é",
    "\u0663",
    "\x00",
    "\n",
    "!",
    "=",
    "1" * 31,
    "x" * 65,
    "%41",
]
TIMES = 8  # values of each parameter


def parameters_of(app):
    """Each different schema of a parameter, with one operation that has it."""
    document = app.test_client().get("/openapi.json").get_json()
    found = {}
    for path, item in document["paths"].items():
        for parameter in item["get"]["parameters"]:
            if not path.startswith("/webhooks/"):
                key = parameter["name"], str(parameter["schema"])
                found.setdefault(key, (path, parameter, item["get"]["parameters"]))
    return list(found.values())


@pytest.fixture(scope="module")
def app():
    """A gateway whose views end once they have read their parameters."""
    app = create_app(settings(log_level="ERROR"))
    document = app.test_client().get("/openapi.json")
    assert document.status_code == 200
    for rule in app.url_map.iter_rules():
        model = vars(app.view_functions[rule.endpoint])["query_model"]
        if path_of(rule) != "/openapi.json" and not issubclass(model, AnyQuery):
            app.view_functions[rule.endpoint] = takes(model)(lambda query: {"read": type(query).__name__})
    yield app
    app.extensions["services"].close()


@pytest.fixture(scope="module")
def cases(app):
    return parameters_of(app)


def status_of(app, case, value):
    """The status of a request in which all is as in the examples of the document but one value."""
    path, chosen, parameters = case
    values = {
        each["name"]: str((each["schema"].get("examples") or each["schema"].get("enum"))[0])
        for each in parameters
        if each["required"]
    } | {chosen["name"]: value}
    in_path = {each["name"]: values.pop(each["name"]) for each in parameters if each["in"] == "path"}
    path = path.format(**{name: quote(text, safe="") for name, text in in_path.items()})
    return app.test_client().get(path, query_string=values).status_code


def accepted_by(schema, random):
    """A value that a schema accepts."""
    if "enum" in schema:
        return random.choice(schema["enum"])
    if schema["type"] == "boolean":
        return random.choice(["true", "false"])
    if schema["type"] == "integer":
        return str(
            random.choice([schema["minimum"], schema["maximum"], random.randint(schema["minimum"], schema["maximum"])])
        )
    if schema.get("examples") == ["Europe/Berlin"]:
        return random.choice(sorted(available_timezones() - {"localtime", "Factory"}))
    parsed = _parser.parse(schema["pattern"])
    values = (matching(parsed, random) for _ in range(1000))
    return next(value for value in values if re.search(schema["pattern"], value))


def matching(parsed, random):
    """A text that the parts of a pattern match, but for what looks ahead."""
    text = ""
    for kind, value in parsed:
        match str(kind):
            case "LITERAL":
                text += chr(value)
            case "IN":
                _, chosen = random.choice(value)
                text += chr(random.randint(*chosen)) if isinstance(chosen, tuple) else chr(chosen)
            case "BRANCH":
                text += matching(random.choice(value[1]), random)
            case "SUBPATTERN":
                text += matching(value[-1], random)
            case "MAX_REPEAT":
                least, most, repeated = value
                most = min(int(most), least + random.choice([0, 1, 3, 70]))
                text += "".join(
                    matching(repeated, random) for _ in range(random.choice([least, most, random.randint(least, most)]))
                )
            case "AT" | "ASSERT_NOT":
                pass
            case other:
                raise AssertionError(f"{other} is not generated")
    return text


def fits(schema, value):
    """Whether a value is one that the document allows, as written or in a form that is read alike."""
    names = list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    forms = {value, value.strip(), ",".join(names)}
    forms |= (
        {form.lower() for form in forms}
        | {form.upper() for form in forms}
        | {form.lstrip("0") for form in forms if form.isdecimal()}
    )
    if schema["type"] == "integer":
        number = value.strip().lstrip("0") or "0"
        return re.fullmatch(r"\d{1,9}", number, re.ASCII) and schema["minimum"] <= int(number) <= schema["maximum"]
    if schema["type"] == "boolean":
        return value.strip().lower() in {"true", "false"}
    if "enum" in schema:
        return not forms.isdisjoint(schema["enum"])
    # `$` of Python also matches before a line feed at the end.
    return any(re.search(schema["pattern"], form) and not form.endswith("\n") for form in forms)


def test_what_the_document_accepts_is_accepted(app, cases):
    random, wrong = Random(13), []
    for case in cases:
        for _ in range(TIMES):
            value = accepted_by(case[1]["schema"], random)
            assert fits(case[1]["schema"], value), value
            if (status := status_of(app, case, value)) != 200:
                wrong.append((case[0], case[1]["name"], value, status))
    assert wrong == []


def test_what_the_document_refuses_is_refused(app, cases):
    random, wrong, refused = Random(13), [], 0
    for case in cases:
        path, parameter, _ = case
        for _ in range(3 * TIMES):
            value = accepted_by(parameter["schema"], random)
            position = random.randint(0, len(value))
            value = value[:position] + random.choice(ODD) + value[position + random.choice([0, 1, 2]) :]
            if fits(parameter["schema"], value) or is_read_alike(parameter["name"], value):
                continue
            refused += 1
            if (status := status_of(app, case, value)) not in {400, 404, 414}:
                wrong.append((path, parameter["name"], value, status))
    assert wrong == []
    assert refused > 300


def is_read_alike(name, value):
    """Whether a value may be a further spelling: a link to a profile with escapes, a port or a host in upper case."""
    return name == "url" and ("/" in value or value.lower().startswith("instagr"))


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("period", ["1d", "99d", "365d"], ["0d", "366d", "999d", "d", "01d", "7"]),
        ("time_range", ["1d", "30d"], ["31d", "0d"]),
        (
            "since",
            ["2010-01-01", "2024-02-29", "2100-01-01", "1262304000", "4102444800"],
            [
                "2009-12-31",
                "2023-02-29",
                "2100-01-02",
                "2026-13-01",
                "1262303999",
                "4102444801",
                "2026-W47-1",
                "20261101",
            ],
        ),
        (
            "url",
            ["nasa", "@123", "http://www.instagram.com/nasa/reels/", "instagram.com/three.js?hl=en"],
            ["...", "0", "p/", "https://instagram.com/p/x", "https://evil.example/nasa", "a" * 31],
        ),
        ("media_id", ["1", "9" * 30], ["", "9" * 31, "1a"]),
        ("account", ["@us", "a" * 30], ["a" * 31, "a b", "@"]),
        ("tz", ["UTC", "Etc/GMT+5"], ["", "Mars", "localtime"]),
    ],
)
def test_the_edges_of_a_pattern_are_those_of_the_gateway(app, cases, name, accepted, refused):
    case = next(case for case in cases if case[1]["name"] == name and "pattern" in case[1]["schema"])
    schema = case[1]["schema"]

    assert {value: (fits(schema, value), status_of(app, case, value)) for value in accepted} == dict.fromkeys(
        accepted, (True, 200)
    )
    assert {value: status_of(app, case, value) in {400, 404} for value in refused} == dict.fromkeys(refused, True)
    assert [value for value in refused if fits(schema, value) and value not in {"Mars", "localtime"}] == []


def test_every_parameter_says_which_values_it_takes(cases):
    assert [
        case[1]["name"]
        for case in cases
        if not case[1]["schema"].keys() & {"enum", "pattern", "minimum"} and case[1]["schema"]["type"] != "boolean"
    ] == []
