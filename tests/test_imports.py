"""The contracts of `.importlinter` hold, and so do the rules that it cannot express."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGES = ("commands", "front", "routes", "services", "simulator")
# Modules at the top of the tree are no packages, so the linter does not see what they import.
ALLOWED = {
    "app": {"config", "flask", "front", "logs", "routes", "services"},
    "config": {"config_checks", "config_names", "config_parsing", "dotenv", "front", "services"},
    "config_checks": {"config", "services"},  # the settings for type checkers only
    "config_names": set(),
    "config_parsing": {"config_checks"},
    "gunicorn.conf": {
        "app",
        "config",
        "front",
        "gunicorn_boot",
        "gunicorn_cores",
        "gunicorn_reload",
        "logs",
        "program_start",
        "services",
    },
    "gunicorn_boot": set(),
    "gunicorn_cores": set(),
    "gunicorn_ready_replies": {"front", "gunicorn"},
    "gunicorn_reload": set(),
    "gunicorn_worker": {"front", "gunicorn", "gunicorn_cores", "gunicorn_ready_replies", "routes"},
    "log_output": set(),
    "logs": {"log_output", "services"},
    "program_start": set(),
    "worker": {"config", "logs", "program_start", "services"},
}
LINTER = Path(sys.executable).with_name("lint-imports")


@dataclass(frozen=True)
class Module:
    """What these tests look for in a module. Its tree would be too large to keep."""

    docstring: str | None
    imported: frozenset[str | None]
    is_relative: bool
    reads_environment: bool
    classes: tuple[str, ...]
    functions: tuple[str, ...]


@cache
def modules():
    """Every module of the program, by its path."""
    files = [ROOT / f"{name}.py" for name in ALLOWED]
    return {
        file.relative_to(ROOT): described(ast.parse(file.read_text()))
        for file in [*files, *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]
    }


def described(tree):
    nodes = list(ast.walk(tree))
    return Module(
        docstring=ast.get_docstring(tree),
        imported=frozenset(imported(nodes)),
        is_relative=any(isinstance(node, ast.ImportFrom) and node.level for node in nodes),
        reads_environment=any(
            isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"} and name_of(node) == "os"
            for node in nodes
        ),
        classes=tuple(node.name for node in nodes if isinstance(node, ast.ClassDef)),
        functions=tuple(node.name for node in nodes if isinstance(node, ast.FunctionDef)),
    )


def name_of(attribute):
    return attribute.value.id if isinstance(attribute.value, ast.Name) else None


def imported(nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_contracts_hold():
    linted = subprocess.run(
        [LINTER, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    assert linted.returncode == 0, linted.stdout


def of_the_gateway():
    """Every module but those of the simulator, which is a program of its own."""
    return {path: module for path, module in modules().items() if path.parts[0] != "simulator"}


def test_no_class_of_the_gateway_has_the_name_of_another_one():
    classes = Counter(name for module in of_the_gateway().values() for name in module.classes)

    assert [name for name, count in classes.items() if count > 1] == []


def test_the_table_names_every_module_at_the_top():
    assert {file.stem for file in ROOT.glob("*.py")} == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_module_at_the_top_imports_what_the_table_allows(name):
    packages = {module.partition(".")[0] for module in modules()[Path(f"{name}.py")].imported}

    assert packages - sys.stdlib_module_names == ALLOWED[name]


def test_logs_import_only_redaction_and_the_context_of_the_request():
    assert {name for name in modules()[Path("logs.py")].imported if name.startswith("services")} == {
        "services",  # request_context
        "services.redaction",
    }


def test_only_the_settings_read_the_environment():
    readers = {
        str(path)
        for path, module in modules().items()
        if {"os.environ", "os.getenv", "dotenv"} & module.imported or module.reads_environment
    }

    # The second one takes settings away from the programs that tests, benchmarks and examples start.
    assert readers == {"config.py", "commands/isolation.py"}


def test_every_module_has_a_docstring():
    assert [str(path) for path, module in modules().items() if not module.docstring] == []


def test_no_module_imports_relatively():
    assert [str(path) for path, module in modules().items() if module.is_relative] == []


# Names that said nothing, or several things, and what is said in their place: docs/architecture.md, "Words".
# fmt: off
GIVEN_UP = frozenset({
    "ask", "reading",
    "Memory", "recall", "renew", "Errand", "Memo", "Slot", "Shelf", "Rule", "Lasting", "grace",
    "Flights", "board", "take", "land", "deliver", "Gate", "Standing", "Block", "Blame", "Turn", "Entry", "Pace",
    "Outcome", "Remedy", "Ask", "Wanted", "Inquiry", "Reading", "Told", "Kept", "Terms", "Purchases",
    "Places", "Asking", "Tally", "behind", "Pulse", "chores", "inquiry", "flights", "shelf", "pulse", "blame", "errand",
})
# fmt: on


def test_no_name_that_was_given_up_is_left():
    names = [
        *((name, path) for path, module in of_the_gateway().items() for name in (*module.classes, *module.functions)),
        *((path.stem, path) for path in modules()),
    ]

    assert [(name, str(path)) for name, path in names if name.lstrip("_") in GIVEN_UP] == []


def test_a_gateway_with_sqlite_does_not_load_the_driver_of_postgresql():
    program = "import sys, app; sys.exit('psycopg' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=120, check=False).returncode == 0
