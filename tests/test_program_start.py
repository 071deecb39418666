"""Programs import their code without the garbage collector, and have it again while they work."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest

from program_start import without_collections
from tests.support import ROOT, environment, new_instance

CODE = 80_000  # objects; any program that opens the store has more of them when it has imported all
WHOLE = 2  # the generation of the collections that look at everything

# How each program starts, up to where it would work.
STARTS = {
    "command": "import commands.key",
    "worker": """
import os, worker
os.environ["PROVIDERS"] = "none"  # It ends once it has imported all.
with suppress(SystemExit):
    worker.main([])
""",
    "gateway": "read = runpy.run_path('gunicorn.conf.py')",
}
# What a program shows of its collector after its start, and at its end: what is registered first is called last.
SHOW = """
import atexit, gc, json, runpy
from contextlib import suppress

seen, shown = [], {}
gc.callbacks.append(lambda phase, info: seen.append(info["generation"]) if phase == "start" else None)
atexit.register(lambda: print(json.dumps(shown | {"at its end": gc.get_freeze_count()})))
{start}
shown |= {"collections": seen, "goes on": gc.isenabled(), "objects": len(gc.get_objects())}
{more}
"""
FORK = """
seen.clear()
from types import SimpleNamespace
server = SimpleNamespace(SIG_QUEUE=[], LISTENERS=[])
read["on_reload"](server)
shown["by a reload"] = list(seen)
shown["before the fork"] = gc.get_freeze_count()
read["post_fork"](server, SimpleNamespace())
shown["after the fork"] = gc.get_freeze_count()
"""


def shown_by(start, more=""):
    code = SHOW.replace("{start}", start).replace("{more}", more)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment({"PROVIDERS": "sandbox", "INSTANCE_PATH": new_instance(), "PYTHONUNBUFFERED": "1"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("program", STARTS)
def test_a_program_collects_nothing_of_the_code_that_it_imports(program):
    shown = shown_by(STARTS[program])

    assert WHOLE not in shown["collections"]
    assert len(shown["collections"]) <= 30  # 250 without this
    assert shown["objects"] > CODE
    assert shown["goes on"]
    assert shown["at its end"] > CODE


def test_a_worker_of_the_gateway_leaves_out_the_code_of_its_master_that_frees_what_a_reload_replaced():
    shown = shown_by(STARTS["gateway"], FORK)

    assert shown["by a reload"] == [WHOLE]
    assert shown["before the fork"] == 0  # A reload has to be able to free it.
    assert shown["after the fork"] > CODE


def test_the_collector_waits_only_for_a_block():
    within = []

    def fail():
        with without_collections():
            within.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        fail()

    assert (within, gc.isenabled()) == ([False], True)


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    try:
        with without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
