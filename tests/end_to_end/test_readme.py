"""Every curl line of the README and of the set-up page does what it says."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from tests.support import ROOT, local_session

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
CURLS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("curl http://127.0.0.1")]
CURLS += [line for block in BLOCKS for line in block.splitlines() if line.startswith("curl -X")]
SET_UP = (ROOT / "docs" / "set-up.md").read_text(encoding="utf-8")
CONFIGS = re.findall(r"^curl --config - <<END\n(.*?)^END$", SET_UP, re.MULTILINE | re.DOTALL)


def run_curl(line, ports):
    """Do what a curl line of the README asks for, on the ports of this run."""
    options = argparse.ArgumentParser()
    options.add_argument("url")
    options.add_argument("-G", action="store_true", dest="in_query")
    options.add_argument("-d", action="append", default=[], dest="data")
    options.add_argument("-X", dest="method")
    asked = options.parse_args(shlex.split(line)[1:])
    url, data = asked.url, "&".join(asked.data)
    for documented, port in ports.items():
        url = url.replace(f":{documented}/", f":{port}/")
    method = asked.method or ("POST" if data and not asked.in_query else "GET")
    query, body = (data, None) if asked.in_query else ("", data)
    with local_session() as session:
        return session.request(method, url, params=query, data=body, timeout=30)


@pytest.fixture
def ports(simulator, start):
    port = simulator.url.rpartition(":")[2]
    gateway = start({"SIMULATOR_PORT": port})
    return {"8000": gateway.url.rpartition(":")[2], "8001": port}


def test_there_are_curl_lines_for_every_endpoint():
    for path in ["/account-insights", "/growth-trends", "/top-posts", "/performance-data", "/healthz", "/openapi.json"]:
        assert any(path in line for line in CURLS)


def test_every_curl_line_of_the_readme_succeeds(ports):
    for line in CURLS:
        response = run_curl(line, ports)

        assert response.status_code in {200, 201}, (line, response.text)
        assert response.json()


@pytest.mark.parametrize("config", CONFIGS, ids=["exchange", "accounts", "page token", "debug_token", "refresh"])
def test_every_step_of_the_set_up_can_be_rehearsed(simulator, config):
    for name, value in {
        "GRAPH": f"{simulator.url}/graph.facebook.com/v25.0",
        "APP_ID": "200000000000000",
        "APP_SECRET": "sandbox-app-secret",
        "SHORT": "EAASHORT-anything",
        "ACCESS_LONG_LIVED_TOKEN": "IGAASANDBOXUSERTOKEN" if "ig_refresh" in config else "EAASANDBOXUSERTOKEN",
    }.items():
        config = config.replace(f"${name}", value)
    [url] = re.findall(r'^url = "(.*)"$', config, re.MULTILINE)
    url = url.replace("https://graph.instagram.com", f"{simulator.url}/graph.instagram.com")
    query = dict(pair.split("=", 1) for pair in re.findall(r'^data-urlencode = "(.*)"$', config, re.MULTILINE))
    headers = dict(pair.split(": ", 1) for pair in re.findall(r'^header = "(.*)"$', config, re.MULTILINE))

    with local_session() as session:
        response = session.get(url, params=query, headers=headers, timeout=30)

    assert response.status_code == 200, response.text
    assert response.json().get("access_token") or response.json()["data"]
