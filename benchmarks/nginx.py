"""nginx with the configuration that docs/operations.md gives, in front of a gateway of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import ROOT
from commands.probe import free_port

PATIENCE = 60.0  # seconds
IN_LOCATION = "# in the location:\n"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program() -> str | None:
    """Return the path of nginx, or None where it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def in_front(nginx: str, gateway: int, folder: Path, *, cached: bool = False) -> Iterator[int]:
    """Start nginx with its files in a folder, and give its port; `cached` adds the cache that is documented."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_configuration(gateway, port, folder, cached=cached))
    process = subprocess.Popen([nginx, "-c", str(config), "-p", str(folder)], start_new_session=True)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"nginx does not start: {(folder / 'error.log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _configuration(gateway: int, port: int, folder: Path, *, cached: bool) -> str:
    server, cache = _documented()
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port}").replace(":8000", f":{gateway}")
    before, in_location = "", ""
    if cached:
        before, _, in_location = cache.replace("/var/cache/nginx/insights", f"{folder}/cache").partition(IN_LOCATION)
    place = "location / {\n"
    server = server.replace(place, f"{place}{in_location}add_header X-Cache $upstream_cache_status always;\n")
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    # Its workers run as the user who runs this, so that they can write into the folder.
    user = f"user {folder.owner()} {folder.group()};"
    return (
        f"{user} daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; {paths}\n{before}\n{server}}}\n"
    )


def _documented() -> list[str]:
    """Return the server and the cache that the operations guide shows."""
    text = (ROOT / "docs/operations.md").read_text()
    return [block.partition("```")[0] for block in text.split("```nginx\n")[1:3]]
