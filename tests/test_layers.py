"""Dependencies point one way, and every part stays in its own room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support import ROOT

LAYERS = ("app", "worker", "front", "routes", "services", "services.clients")  # from the outside to the inside
COMMON = ("services.clock", "services.errors", "services.redaction")  # words that every layer speaks
PROVIDER_LIBRARIES = {"requests", "urllib3"}
WEB_LIBRARIES = {"flask", "werkzeug", "jinja2"}
MAX_LINES = 300


def modules(*folders):
    """Every module in some folders or files, by its dotted name."""
    found = [ROOT / folder for folder in folders]
    files = [file for path in found for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file: Path):
    """Every module that a file imports, names of a package included, wherever in the file that happens."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_level(names):
    return {name.partition(".")[0] for name in names}


def layer_of(name):
    inside = [layer for layer in LAYERS if name == layer or name.startswith(f"{layer}.")]
    return None if name.startswith(COMMON) else max(inside, key=len, default=None)


GATEWAY = modules(
    "app.py", "worker.py", "server.py", "config.py", "config_values.py", "front", "logs.py", "routes", "services"
)
SERVICES = {name: file for name, file in GATEWAY.items() if name.startswith("services")}
SIMULATOR = modules("simulator")
ALL = GATEWAY | SIMULATOR | modules("commands", "gunicorn.conf.py")


def test_the_rooms_are_not_empty():
    assert {"app", "front", "routes.errors", "services.days", "services.clients.http"} <= set(GATEWAY)
    assert "simulator.server" in SIMULATOR


@pytest.mark.parametrize("name", [name for name in GATEWAY if layer_of(name)])
def test_no_layer_imports_one_further_out(name):
    outer = LAYERS[: LAYERS.index(layer_of(name))]

    assert [imported for imported in imports(GATEWAY[name]) if layer_of(imported) in outer] == []


@pytest.mark.parametrize("name", ["config", "logs", *COMMON])
def test_what_every_layer_speaks_imports_no_layer(name):
    assert [imported for imported in imports(GATEWAY[name]) if layer_of(imported)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_never_heard_of_the_web_framework(name):
    assert not top_level(imports(SERVICES[name])) & (WEB_LIBRARIES | {"app", "front", "logs", "routes"})


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "services"])
def test_only_the_wiring_of_the_services_knows_the_settings(name):
    assert "config" not in top_level(imports(SERVICES[name]))


@pytest.mark.parametrize("name", GATEWAY)
def test_only_clients_speak_http_to_a_provider(name):
    speaks = top_level(imports(GATEWAY[name])) & PROVIDER_LIBRARIES

    assert not speaks or layer_of(name) == "services.clients", f"{name} imports {speaks}"


@pytest.mark.parametrize("name", [name for name in GATEWAY if layer_of(name) == "routes"])
def test_routes_import_no_client(name):
    assert not [imported for imported in imports(GATEWAY[name]) if layer_of(imported) == "services.clients"]


@pytest.mark.parametrize("name", GATEWAY)
def test_only_the_settings_read_the_environment(name):
    tree = ast.parse(GATEWAY[name].read_text())
    read = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"})
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]

    assert not read or name == "config"
    assert not {"os.environ", "os.getenv", "dotenv"} & set(imports(GATEWAY[name])) or name == "config"


@pytest.mark.parametrize("name", SIMULATOR)
def test_the_simulator_knows_nothing_of_the_gateway(name):
    assert not top_level(imports(SIMULATOR[name])) & {"app", "config", "front", "logs", "routes", "services"}


@pytest.mark.parametrize("name", GATEWAY)
def test_the_gateway_knows_nothing_of_the_simulator_nor_of_the_tests(name):
    assert not top_level(imports(GATEWAY[name])) & {"simulator", "tests", "commands"}


@pytest.mark.parametrize("name", ALL)
def test_no_file_is_too_long(name):
    assert len(ALL[name].read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", ALL)
def test_every_module_says_what_it_is_for(name):
    assert ast.get_docstring(ast.parse(ALL[name].read_text()))
