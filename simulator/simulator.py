"""The simulator as one object: its world, its state, its server."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, Self

from simulator.calls import Calls
from simulator.clock import Clock
from simulator.faults import Fault, Faults
from simulator.graph.error_table import ROWS as GRAPH_ROWS
from simulator.graph.facebook import FacebookProvider
from simulator.graph.instagram import InstagramProvider
from simulator.malformed_answers import misbehave
from simulator.messages import Reply, Request
from simulator.modash.ordered_answers import ROWS as MODASH_ROWS
from simulator.modash.provider import ModashProvider
from simulator.own_paths import own_path
from simulator.server import Server
from simulator.switches import Switches
from simulator.webhooks.webhooks import Webhooks
from simulator.world.accounts import Accounts
from simulator.world.creators import Creators
from simulator.world.days import day_of

OWN_PREFIX = "/_simulator"
MOST_EVENTS = 100  # of an outgoing webhook that are listed
SLOW = 5  # seconds, where a slow fault names no other time


class Provider(Protocol):
    """One simulated host."""

    name: str

    def answer(self, request: Request, faults: Sequence[Fault], now: float) -> Reply:
        """Answer a call."""

    def refuse(self, request: Request, fault: Fault, now: float) -> Reply | None:
        """Return the answer that a fault stands for in this provider's words, if it has any."""

    def reset(self) -> None:
        """Forget what was called."""


class Simulator:
    """Both providers behind one port.

    The fresh accounts were created some days before `started`. At `tokens_from`, by default the same moment, the tokens
    of an Instagram login have the age of the account's kind (Unix seconds).
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        accounts: int = 240,
        started: float | None = None,
        tokens_from: float | None = None,
    ) -> None:
        self.clock = Clock()
        self.switches = Switches()
        self.calls = Calls()
        self.faults = Faults({"instagram": GRAPH_ROWS, "modash": MODASH_ROWS})
        started = time.time() if started is None else started
        self.accounts = Accounts(seed, accounts, day_of(started))
        self.creators = Creators(seed, self.accounts)
        self.webhooks = Webhooks(self.accounts, self.switches, self.clock)
        self.events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        instagram = InstagramProvider(
            self.accounts,
            self.switches,
            self.webhooks.subscriptions,
            tokens_from=started if tokens_from is None else tokens_from,
        )
        self._hosts: Mapping[str, Provider] = {
            "/graph.facebook.com": FacebookProvider(self.accounts, self.switches, self.webhooks),
            "/graph.instagram.com": instagram,
            "/api.instagram.com": instagram.login,
            "/api.modash.io": ModashProvider(self.creators, self.switches, self.calls),
        }
        self._server: Server | None = None
        self._reset_at = 0.0

    @property
    def url(self) -> str:
        """Where the server listens."""
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        return self._server.url

    def listen(self, *, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Bind the port, a free one for 0, and return the server, which is yet to be run."""
        self._server = Server(host, port, self.answer)
        return self._server

    def start(self, *, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Listen and serve in a thread of its own."""
        server = self.listen(host=host, port=port)
        threading.Thread(target=server.serve_forever, args=(0.01,), name="simulator", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop serving, end all connections, send nothing any more."""
        self.webhooks.forget()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def reset(self) -> None:
        """Put everything back: faults, switches, clock, counters, names, tokens, balance, reports, webhooks, events.

        A call whose answer is still delayed then is cut: it changes nothing of what begins.
        """
        self._reset_at = time.monotonic()
        self.faults.clear()
        self.switches.reset()
        self.clock.release()
        self.calls.reset()
        self.accounts.reset()
        self.webhooks.reset()
        self.events.clear()
        for provider in self._hosts.values():
            provider.reset()

    def answer(self, request: Request) -> Reply:
        """Answer a request to any host."""
        if request.path.startswith(f"{OWN_PREFIX}/"):
            return own_path(self, request.under(OWN_PREFIX))
        prefix = f"/{request.path.lstrip('/').partition('/')[0]}"
        provider = self._hosts.get(prefix)
        if provider is None:
            hosts = ", ".join([*self._hosts, OWN_PREFIX])
            return Reply.json(404, {"error": f"no such host; paths begin with {hosts}"})
        request = request.under(prefix)
        reply = self._provided(provider, request)
        # Each call of a batch counts, and the batch itself does not.
        for call, answer in reply.parts or ((request, reply),):
            self.calls.record(provider.name, call, answer, at=self.clock.now(), received_at=request.received_at)
        return reply

    def _provided(self, provider: Provider, request: Request) -> Reply:
        """Answer a call once it has been slow and has taken the latency, of which the work here is a part."""
        now = self.clock.now()
        faults = self.faults.hitting(provider.name, request, now)
        slow = sum(fault.options.get("delay_seconds", SLOW) for fault in faults if fault.kind == "slow")
        if slow:
            time.sleep(slow)
        if request.received_at < self._reset_at:
            return Reply(503, b"", cut=True)
        reply = self._worked(provider, request, faults, now)
        remaining = request.received_at + slow + self.switches["latency_ms"] / 1000 - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)
        return reply if request.received_at >= self._reset_at else Reply(503, b"", cut=True)

    @staticmethod
    def _worked(provider: Provider, request: Request, faults: Sequence[Fault], now: float) -> Reply:
        work = partial(provider.answer, request, faults, now)
        for fault in faults:
            if fault.replaces:
                return misbehave(fault, work) or provider.refuse(request, fault, now) or work()
        return work()
