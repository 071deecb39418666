"""The documents and the code say the same."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from io import StringIO
from tokenize import COMMENT, generate_tokens

import pytest

from config import Config, ConfigError
from routes.documentation import error_classes, error_codes, path_of
from routes.errors import FORBIDDEN_CODES, HTTP_CODES, RATE_LIMITED_CODE, UNAUTHORIZED_CODE
from services.cache import policies
from services.cache.policies import FixedTTL
from services.clients.graph.error_codes import INSTAGRAM_RULES
from services.errors import InsightsError, RetryStrategy
from services.history.snapshot_plan import FAILED
from services.insights.audience import MOST_RESULTS
from services.insights.catalogue import METRICS, MIN_FOLLOWERS, RETENTION_DAYS
from services.monitoring.readiness import NotificationWork
from services.posts.ages import FIRST_LOOK_DAYS
from services.posts.post import MAX_CAPTION
from services.reasons import REASONS
from services.store.counters import PROCESS_ALIVE_FOR
from services.store.jobs import HEARTBEAT_INTERVAL, JOB_LEASE
from services.store.notifications import GIVEN_UP_KEPT_DAYS, NotificationCounts
from tests.documents import DOCUMENTS, anchors_of, pattern_of, prose_of, section, tables_of
from tests.support import ROOT

README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
API, CACHING, OPERATIONS, SETTINGS = (
    ROOT / "docs" / f"{name}.md" for name in ("api", "caching", "operations", "settings")
)
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
FIELDS = {name.upper(): field for name, field in Config.__dataclass_fields__.items()}
CODES = {code: error.status for error in error_classes() for code in error_codes(error)}
PACKAGES = ("benchmarks", "commands", "front", "migrations", "routes", "services", "simulator", "tests")
CODES |= (
    dict.fromkeys(FORBIDDEN_CODES, 403)
    | {UNAUTHORIZED_CODE: 401, RATE_LIMITED_CODE: 429}
    | {code: status for status, code in HTTP_CODES.items()}
    | {InsightsError.code: InsightsError.status}
)
NAMED_FILE = re.compile(r"`((?:[\w.-]+/)*(?:[\w.-]+/|[\w-]+\.(?:py|md|toml|txt|conf)|\.env\.example))`")
NOT_TRACKED = {"instance/", "unbooked/", "INSTANCE_PATH/unbooked/"}  # Running makes them.
# What is no longer called so; CHANGELOG.md and the upgrade notes may say it.
OLD_NAMES = (
    "WAITING_PLACES",
    "WARM_MEGABYTES",
    "UNCERTAIN_HOLD",
    "END_TIME_MARKS",
    "permission_missing",
    "make outcomes",
    "services/memory",
)
FIGURES_OF_SPEECH = re.compile(r"\b(whoever|nobody|somebody|anew|told|tells)\b", re.IGNORECASE)
CODE = sorted([*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))])
WITH_INVENTED_TEXTS = ("simulator", "tests")  # Captions, handles and what providers say.


def documents(*, but=()):
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS if path not in but]


def text_of(path):
    return path.read_text(encoding="utf-8")


def row_by_name(text, column=0):
    """The rows of a document's tables by the name in a column."""
    return {cells[column].strip("`"): cells for cells in tables_of(text) if len(cells) > column}


# Settings

ROWS = {name: cells for name, cells in row_by_name(text_of(SETTINGS)).items() if re.fullmatch(r"[A-Z_]+", name)}


def read(name, value):
    """Read one setting, as a sandbox."""
    return Config.from_env({"PROVIDERS": "sandbox", name: value})


def test_every_setting_has_a_row_and_no_other_name_has():
    assert sorted(ROWS) == sorted(FIELDS)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_the_row_of_a_setting_has_its_default(name):
    default = FIELDS[name].default
    written = {str(default), str(default).lower(), f"{default:g}" if isinstance(default, float) else str(default)}

    _, shown, *_ = ROWS[name]

    if default in ("", ()):
        assert "`" not in shown  # There is none, or it depends on the other settings.
    else:
        assert shown.strip("`") in written


def ranges() -> Iterator[tuple[str, float, float]]:
    for name, cells in ROWS.items():
        if matched := re.fullmatch(r"([\d.]+) to ([\d.]+)", cells[3]):
            yield name, float(matched[1]), float(matched[2])


def choices() -> Iterator[tuple[str, list[str]]]:
    for name, cells in ROWS.items():
        if re.fullmatch(r"`\w+`(, `\w+`)+", cells[3]):
            yield name, re.findall(r"`(\w+)`", cells[3])


def test_every_number_has_a_range():
    numbers = {name for name, field in FIELDS.items() if type(field.default) in {int, float}}

    assert {name for name, _, _ in ranges()} == numbers


@pytest.mark.parametrize(("name", "low", "high"), [*ranges()])
def test_a_number_is_accepted_within_its_range_only(name, low, high):
    for accepted in (low, high):
        assert getattr(read(name, f"{accepted:g}" if accepted < 1 else f"{accepted:.0f}"), name.lower()) == accepted
    for refused in (low / 2 if 0 < low < 1 else low - 1, high + 1):
        with pytest.raises(ConfigError, match=name):
            read(name, f"{refused:g}" if refused < 1 else f"{refused:.0f}")


@pytest.mark.parametrize(("name", "accepted"), [*choices()])
def test_a_choice_accepts_what_its_row_lists_only(name, accepted):
    for value in accepted:
        environment = {"PROVIDERS": "sandbox", name: value, "MODASH_API_KEY": "invented" if value == "live" else ""}
        assert str(getattr(Config.from_env(environment), name.lower())).lower() == value.lower()
    with pytest.raises(ConfigError, match=name):
        read(name, "neither")


def test_the_example_has_every_setting_once_and_no_other():
    assert sorted(re.findall(r"^([A-Z][A-Z0-9_]+)=", EXAMPLE, re.MULTILINE)) == sorted(FIELDS)


def test_the_example_is_what_starts_without_it():
    """It may be copied as it stands: every line has the default, or leaves it to the other settings."""
    lines = dict(re.findall(r"^([A-Z][A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))

    assert Config.from_env(lines) == Config.from_env({})
    assert Config.from_env({"ENV_FILE": str(ROOT / ".env.example")}) == Config.from_env({})
    for name, value in lines.items():
        if FIELDS[name].default not in ("", ()):
            assert value, f"{name} has a default, which the example does not show"


@pytest.mark.parametrize("document", documents(but=[ROOT / "CHANGELOG.md"]))
def test_a_default_beside_the_name_of_a_setting_is_its_default(document):
    """As in "`RETRY_BUDGET` (10 seconds)"; the upgrade notes of the CHANGELOG have older ones."""
    for name, number in re.findall(r"`([A-Z][A-Z_]+)`[^`\n.|(]{0,30}\(([\d.,]*\d)[^)]*\)", text_of(document)):
        if name in FIELDS:
            assert float(number.replace(",", "")) == FIELDS[name].default, name


@pytest.mark.parametrize("name", re.findall(r"`([A-Z][A-Z_]+)`", section(README, "Settings")))
def test_a_setting_of_the_readme_exists(name):
    assert name in FIELDS


# Routes


def paths_of(client):
    return {path_of(rule) for rule in client.application.url_map.iter_rules()}


def test_every_route_is_in_the_openapi_document_and_no_other(client):
    assert set(client.get("/openapi.json").get_json()["paths"]) == paths_of(client)


def test_every_route_has_a_section_in_the_api_document_and_no_other_path_has(client):
    titles = re.findall(r"^## GET (\S+)$", text_of(API), re.MULTILINE)

    assert len(titles) == len(set(titles))
    assert {*titles, "/api/discovery/performance-data"} == paths_of(client)
    assert "`/api/discovery/performance-data`" in section(API, "GET /performance-data")


def test_every_route_has_a_row_with_a_curl_in_the_readme(client):
    rows = row_by_name(section(README, "Endpoints"))

    assert {*rows, "/api/discovery/performance-data"} == paths_of(client)
    for path, cells in rows.items():
        # Stories last for a day, and posts are kept once they were listed, so that no id is one for ever.
        lists = {"{story_id}": "`/stories`", "{post_id}": "`/top-posts`"}
        listed_by = next((lists[name] for name in lists if name in path), None)
        is_shown = re.search(_curl(path), cells[2]) if listed_by is None else listed_by in cells[2]
        assert is_shown, path


def _curl(path):
    return rf'`curl "\$G{pattern_of(path)}["?]'


def test_every_parameter_has_a_place_in_the_section_of_its_route(client):
    conventions = section(API, "Conventions")
    for path, item in client.get("/openapi.json").get_json()["paths"].items():
        for parameter in item["get"]["parameters"]:
            if path.startswith("/api/"):
                continue
            assert f"`{parameter['name']}`" in section(API, f"GET {path}") + conventions, (path, parameter["name"])


@pytest.mark.parametrize("document", documents())
def test_every_call_of_a_document_is_to_a_route(client, document):
    called = re.findall(r"(?:127\.0\.0\.1:8000|\$G)(/[$\w./-]*)", text_of(document))

    patterns = [pattern_of(path) for path in paths_of(client)]
    assert [path for path in called if not any(re.fullmatch(pattern, path) for pattern in patterns)] == []


# Metrics, reasons, errors, lifetimes


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_is_in_the_api_document(metric):
    assert f"`{metric}`" in section(API, "GET /account-insights")


def test_every_reason_is_in_the_api_document():
    assert [reason for reason in REASONS if f"`{reason}`" not in section(API, "Reasons")] == []


def reasons_in(path):
    """The constants that a module gives as the reason of an unknown number."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            place = REASON_OF.get(getattr(node.func, "id", ""), len(node.args))
            found += node.args[place : place + 1]
            found += [each.value for each in node.keywords if each.arg in {"reason", "buckets_reason"}]
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").endswith("reason"):
            found.append(node.value)
        elif isinstance(node, ast.FunctionDef) and re.search("reason|why", node.name):
            found += [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
    return {text for node in found for text in constants_of(node)}


def constants_of(node):
    """The texts that an expression may be: one that stands there, or one of several."""
    if isinstance(node, ast.IfExp):
        return constants_of(node.body) + constants_of(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in constants_of(value)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value else []


REASON_OF = {"MetricValue": 1, "MediaValue": 1, "Typical": 1, "HistoryValue": 3}  # the place of the reason
OTHERS = {"access", "accounts", "clients", "monitoring", "notifications", "reports", "store"}  # reasons of other things


def test_every_reason_of_an_unknown_number_has_words_of_its_own():
    modules = [path for path in (ROOT / "services").rglob("*.py") if not OTHERS & set(path.parts)]
    reasons = {reason for path in modules for reason in reasons_in(path)} | FAILED
    reasons |= {rule.reason for rule in INSTAGRAM_RULES.values() if rule.retry_strategy is RetryStrategy.SPLIT}

    assert {"unexpected_end_time", "not_answered", "window_too_long", "no_posts", "bucket_unknown"} <= reasons
    assert reasons - set(REASONS) == {None}  # Some rules have no reason.


def test_every_outcome_of_a_dry_run_is_in_the_api_document_and_no_other(client):
    document = client.get("/openapi.json").get_data(as_text=True)
    [outcomes] = {enum for enum in re.findall(r'"enum":(\[[^]]*\])', document) if '"given_up"' in enum}
    table = text_of(API).partition("### Dry run")[2].partition("\n## ")[0]

    assert set(row_by_name(table)) == set(json.loads(outcomes))


def test_every_error_code_is_in_the_api_document_with_its_status_and_no_other():
    rows = {name: int(cells[1]) for name, cells in row_by_name(section(API, "Errors")).items()}

    assert rows == CODES


def seconds(text):
    """Return a time in words as seconds; none is 0."""
    if text in {"none", ""}:
        return 0.0
    number, unit = re.match(r"(\d+) (second|minute|hour|day)", text).groups()
    return int(number) * {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}[unit]


def test_every_lifetime_is_in_the_caching_document_as_it_is():
    units = {"MINUTE", "HOUR", "DAY", "FOR_EVER"}
    real = {
        name: value
        for name, value in vars(policies).items()
        if name.isupper() and name not in units and isinstance(value, float | FixedTTL)
    }
    shown: dict[str, object] = {}
    for name, (what, _, fresh, revalidated) in row_by_name(section(CACHING, "Every lifetime"), column=1).items():
        shown |= {age: seconds(text) for text, age in re.findall(r"less than (\d+ \w+) old \(`(\w+_AGE)`\)", what)}
        if name in real:
            is_policy = isinstance(real[name], FixedTTL)
            shown[name] = (seconds(fresh), seconds(revalidated)) if is_policy else seconds(fresh)
            shown |= {constant: seconds(revalidated) for constant in re.findall(r"\(`(\w+)`\)", revalidated)}

    assert shown == {
        name: (value.ttl, value.swr) if isinstance(value, FixedTTL) else value for name, value in real.items()
    }


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (REASONS["few_followers"], f"{MIN_FOLLOWERS} followers or more"),
        (REASONS["not_answered"], f"fewer than {MIN_FOLLOWERS} followers"),
        (API, f"Below {MIN_FOLLOWERS} followers"),
        (API, f"the account has fewer than {MIN_FOLLOWERS} followers"),
        (API, f"At most {MOST_RESULTS} rows"),
        (API, f"lists the {MOST_RESULTS} largest cities or countries"),
        (API, f"cut after {MAX_CAPTION} code points"),
        (API, f"given up within {GIVEN_UP_KEPT_DAYS} days"),
        (OPERATIONS, f"given_up within {GIVEN_UP_KEPT_DAYS} days"),
        (API, f"reads the posts of the last {FIRST_LOOK_DAYS} days once"),
        (OPERATIONS, f"reads the posts of the last {FIRST_LOOK_DAYS} days once"),
        (SETTINGS, f"at least {FIRST_LOOK_DAYS + 1}, because posts are read up to an age of {FIRST_LOOK_DAYS} days"),
        (SETTINGS, f"At least {RETENTION_DAYS + 1}, because"),
        (OPERATIONS, f"A back-fill of {RETENTION_DAYS} days"),
        (OPERATIONS, f"a lease of {JOB_LEASE:g} seconds, extended every {HEARTBEAT_INTERVAL:g} seconds"),
        (OPERATIONS, f"another one takes over within {JOB_LEASE:g} seconds"),
        (OPERATIONS, f"counted something to this within {PROCESS_ALIVE_FOR:g} seconds"),
        (NotificationCounts.__doc__, f"given up within {GIVEN_UP_KEPT_DAYS} days"),
        (NotificationWork.__doc__, f"given up within {GIVEN_UP_KEPT_DAYS} days"),
    ],
)
def test_a_text_that_repeats_a_limit_has_that_of_the_code(text, phrase):
    assert phrase in (text if isinstance(text, str) else text_of(text))


# Names, files, links, commands


@pytest.mark.parametrize("document", documents(but=[ROOT / "CHANGELOG.md"]))
def test_a_document_has_no_old_name(document):
    text = text_of(document)
    if document == OPERATIONS:
        text = text.replace(section(OPERATIONS, "Upgrade notes"), "")

    assert [name for name in OLD_NAMES if re.search(rf"(?<![A-Z_]){re.escape(name)}\b", text)] == []


@pytest.mark.parametrize("document", documents())
def test_a_document_names_its_subjects(document):
    assert FIGURES_OF_SPEECH.findall(text_of(document)) == []


def prose_of_code(path):
    """Each docstring, comment, name of a test and, where a program speaks to people, each sentence of a module."""
    text = text_of(path)
    yield from (token.string for token in generate_tokens(StringIO(text).readline) if token.type == COMMENT)
    has_messages = path.relative_to(ROOT).parts[0] not in WITH_INVENTED_TEXTS
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name.replace("_", " ")
        if has_messages and isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


def test_comments_docstrings_and_messages_of_the_code_name_their_subjects():
    # Few modules have such a word at all, so only those are parsed.
    suspects = [path for path in CODE if FIGURES_OF_SPEECH.search(text_of(path).replace("_", " "))]

    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in suspects
        for prose in prose_of_code(path)
        for line in prose.splitlines()
        if FIGURES_OF_SPEECH.search(line)
    }

    assert sorted(found) == []


@pytest.mark.parametrize("document", documents())
def test_every_file_that_a_document_names_exists(document):
    named = set(NAMED_FILE.findall(prose_of(document))) - NOT_TRACKED
    there = [name for name in named if (ROOT / name).exists() or (document.parent / name).exists()]
    modules = {path.name for path in ROOT.glob("services/**/*.py")}  # a module that its context makes plain

    assert sorted(name for name in named.difference(there) if name not in modules) == []


def test_the_architecture_names_every_module():
    folders = ("front", "routes", "services", "commands")
    modules = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py")}
    modules |= {path.relative_to(ROOT) for path in ROOT.glob("*.py")}
    text = text_of(ROOT / "docs" / "architecture.md")

    assert [str(path) for path in sorted(modules) if path.name != "__init__.py" and f"`{path}`" not in text] == []


def test_a_name_that_the_architecture_puts_into_a_file_is_there():
    places = re.findall(r"`([\w/]+\.py)` \(((?:`[\w.]+`(?:, )?)+)\)", text_of(ROOT / "docs" / "architecture.md"))
    places = [(file, name) for file, names in places for name in re.findall(r"[\w.]+", names)]

    assert ("services/reports/purchase_decision.py", "decide") in places
    for file, name in places:
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", (ROOT / file).read_text(encoding="utf-8")), (file, name)


@pytest.mark.parametrize("document", documents())
def test_every_link_of_a_document_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(document)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file), target


@pytest.mark.parametrize("document", documents())
def test_every_make_target_of_a_document_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ |^)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", text_of(document), re.MULTILINE))

    assert named - targets == set()


def test_every_document_is_in_the_readme():
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", text_of(README)))

    assert {str(path.relative_to(ROOT)) for path in DOCUMENTS if path != README} - linked == set()


def test_the_readme_fits_on_four_screens():
    assert len(text_of(README).splitlines()) <= 200


def test_every_dependency_has_its_reason():
    rows = section(ROOT / "docs" / "architecture.md", "Dependencies")
    pinned = [
        re.match(r"[\w-]+", line)[0]
        for name in ("requirements.txt", "requirements-dev.txt", "requirements-prove.txt")
        for line in (ROOT / name).read_text().partition("\n# What ")[0].splitlines()
        if line and not line.startswith(("#", "-r"))
    ]

    assert "flask" in pinned
    assert [name for name in pinned if name not in re.findall(r"[\w-]+", rows)] == []


def test_every_test_folder_is_described():
    folders = {f"{path.relative_to(ROOT)}/" for path in (ROOT / "tests").iterdir() if any(path.glob("*.py"))}

    assert folders - set(re.findall(r"`(tests/\w+/)`", text_of(CONTRIBUTING))) == set()


def test_the_table_of_reasons_has_each_reason_once():
    table = text_of(ROOT / "docs/api.md").partition("\n## Reasons\n")[2].partition("\n## ")[0]
    names = [name for cell in re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE) for name in cell.split(", ")]

    assert sorted(names) == sorted(set(names))
    assert len(names) > 30


def test_each_listed_equivalent_mutant_is_of_a_line_that_is_still_there():
    listed = tomllib.loads((ROOT / "tests" / "equivalent_mutants.toml").read_text(encoding="utf-8"))["mutant"]
    gone = [each["before"] for each in listed if each["before"] not in (ROOT / each["module"]).read_text("utf-8")]

    assert gone == []
