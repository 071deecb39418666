"""A TCP proxy before PostgreSQL that can stop to answer, as a server that hangs does: it still accepts everything."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit


class BlackHole:
    """Passes bytes on in both directions, until it is switched to keep them."""

    def __init__(self, url):
        self._parts = urlsplit(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passes = threading.Event()
        self._passes.set()
        self._ended = threading.Event()
        self.accepted = 0
        self.ended = 0
        self.passed = 0  # messages of both sides, as far as each came at once
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self):
        user, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{user}{at}127.0.0.1:{self._listener.getsockname()[1]}"))

    def freeze(self):
        self._passes.clear()

    def thaw(self):
        self._passes.set()

    def close(self):
        self._ended.set()
        self._thread.join(5)

    def _run(self):
        server = (self._parts.hostname, self._parts.port or 5432)
        peers = {}
        with selectors.DefaultSelector() as waiting, self._listener:
            waiting.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in waiting.select(0.02):
                    if key.fileobj is self._listener:
                        client, upstream = self._listener.accept()[0], socket.create_connection(server)
                        self.accepted += 1
                        peers |= {client: upstream, upstream: client}
                        for each in (client, upstream):
                            waiting.register(each, selectors.EVENT_READ)
                    elif self._passes.is_set() and key.fileobj in peers:
                        self._pass_on(key.fileobj, peers, waiting)
                if not self._passes.is_set():
                    self._ended.wait(0.02)
            for each in peers:
                each.close()

    def _pass_on(self, one, peers, waiting):
        self.passed += 1
        other = peers[one]
        with suppress(OSError):
            if data := one.recv(65536):
                other.sendall(data)
                return
        self.ended += 1
        for each in (one, other):
            waiting.unregister(each)
            each.close()
            del peers[each]
