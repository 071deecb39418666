"""The webhooks of the app as one object: callbacks, what happens by the clock, and the threads that send."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from simulator.clock import Clock
from simulator.messages import BadInputError
from simulator.switches import Switches
from simulator.webhooks.changes import Change
from simulator.webhooks.events import invented, stories_due, story_change
from simulator.webhooks.orders import SENDING, Callback, callback_order, run_order, send_order
from simulator.webhooks.outbox import Delivery, Outbox, OutboxFullError
from simulator.webhooks.packing import Packing, packed
from simulator.webhooks.sender import deliver, shake_hands
from simulator.webhooks.subscriptions import LOGINS, Subscriptions
from simulator.world.accounts import APP_SECRET, INSTAGRAM_APP_SECRET, Accounts
from simulator.world.draw import digits
from simulator.world.stories import stories_of

SECRETS = {"facebook": APP_SECRET, "instagram": INSTAGRAM_APP_SECRET}
STORIES, STORY_LOGIN = "story_insights", "facebook"  # Only this login gets them.
SENDERS = 4  # threads
POLL = 0.05  # seconds
STEP = 1  # second of the simulator's clock from one look for what happened to the next
LONGEST_RUN = 60  # seconds of one call of /webhooks/run

Json = dict[str, Any]


@dataclass
class _State:
    """All that a DELETE forgets, so that a thread that still works for it cannot reach what came after."""

    callbacks: dict[str, Callback] = field(default_factory=dict)
    sending: str = SENDING[0]
    outbox: Outbox = field(default_factory=Outbox)
    over: threading.Event = field(default_factory=threading.Event)
    is_sending: bool = False  # The threads were started.
    collected: float = 0.0  # until when what happened by the clock waits to be sent
    numbers: "count[int]" = field(default_factory=count)  # of invented changes


class Webhooks:
    """Nothing is sent before a callback is registered; sending never holds the simulator's other requests."""

    def __init__(self, accounts: Accounts, switches: Switches, clock: Clock) -> None:
        self._accounts, self._switches, self._clock = accounts, switches, clock
        self._lock = threading.Lock()
        self._state = _State()
        self.subscriptions = Subscriptions()

    def describe(self) -> Json:
        """Return the callbacks, the subscriptions and how the deliveries fared."""
        state = self._state
        return {
            "callbacks": [_described(callback) for callback in state.callbacks.values()],
            "sending": state.sending,
            "subscriptions": [
                {"login": login, "account": one.account.id, "fields": list(one.fields), "since": one.since}
                for login in LOGINS
                for one in self.subscriptions.all_of(login)
            ],
            **state.outbox.counts(self._clock.now()),
        }

    def register(self, body: Mapping[str, Any]) -> Json:
        """Shake hands with a callback, and send to it from now on what its login's accounts subscribed to."""
        state = self._state
        callback, sending = callback_order(body)
        challenge = int(f"1{digits(9, 'challenge', self._accounts.seed, next(state.numbers))}")
        shake_hands(callback.url, verify_token=callback.verify_token, challenge=challenge)
        with self._lock:
            if STORY_LOGIN not in state.callbacks:
                state.collected = self._clock.now()
            state.callbacks = {**state.callbacks, callback.login: callback}
            state.sending = sending
            starts = sending == "clock" and not state.is_sending
            state.is_sending = state.is_sending or starts
        for _ in range(SENDERS if starts else 0):
            threading.Thread(target=self._work, args=(state,), name="webhooks", daemon=True).start()
        return _described(callback)

    def unregister(self, login: str) -> None:
        """Send nothing more of a login; what waits is lost after its last attempt."""
        state = self._state
        with self._lock:
            state.callbacks = {name: callback for name, callback in state.callbacks.items() if name != login}

    def callback(self, login: str) -> Callback | None:
        """Return where the deliveries of a login go."""
        return self._state.callbacks.get(login)

    @property
    def sending(self) -> str:
        """What lets deliveries go."""
        return self._state.sending

    def send(self, body: Mapping[str, Any]) -> Json:
        """Let something happen, and its deliveries wait to be sent."""
        state, now = self._state, self._clock.now()
        callback = self.callback(str(body.get("login", STORY_LOGIN)))
        order = send_order(body, default=callback.packing if callback else Packing(), now=now)
        if callback is None:
            raise BadInputError(f"login {order.login} has no callback; POST /_simulator/webhooks registers one")
        size = len(order.changes) or order.count
        state.outbox.check_room(size, size // order.packing.batch)  # before any of it is invented
        changes = order.changes or self._invented(state, order.account, order.field, times=order.count)
        numbered, deliveries = _posted(state, callback, changes, packing=order.packing, now=now)
        return {"changes": [change.number for change in numbered], "deliveries": deliveries}

    def run(self, body: Mapping[str, Any]) -> Json:
        """Send what is due, one delivery after the other, whatever `sending` says; with `hurry` all that waits."""
        hurry, state = run_order(body), self._state
        self._collect(state, step=0)
        if hurry:
            state.outbox.hurry(self._clock.now())
        until, sent = time.monotonic() + LONGEST_RUN, 0
        while not state.over.is_set() and time.monotonic() < until:
            delivery = state.outbox.take(self._clock.now())
            if delivery is None:
                break
            self._attempt(state, delivery)
            sent += 1
        return {"sent": sent, **state.outbox.counts(self._clock.now())}

    def changes(self) -> Json:
        """Return what happened: each change once."""
        return {"changes": list(self._state.outbox.changes())}

    def deliveries(self) -> Json:
        """Return what was sent, or waits to be."""
        return {"deliveries": self._state.outbox.deliveries()}

    def forget(self) -> Json:
        """Forget callbacks, changes and deliveries, and end the threads; subscriptions stay."""
        with self._lock:
            self._state.over.set()
            self._state = _State()
        return self.describe()

    def reset(self) -> None:
        """Forget everything."""
        self.forget()
        self.subscriptions.reset()

    def _work(self, state: _State) -> None:
        while not state.over.is_set():
            delivery = None
            if state.sending == "clock":
                self._collect(state, step=STEP)
                delivery = state.outbox.take(self._clock.now())
            if delivery is None:
                state.over.wait(POLL)
            else:
                self._attempt(state, delivery)

    def _attempt(self, state: _State, delivery: Delivery) -> None:
        callback = state.callbacks.get(delivery.login)
        status = deliver(callback.url, delivery.packed) if callback else None
        state.outbox.give_back(delivery, status, now=self._clock.now())

    def _collect(self, state: _State, *, step: float) -> None:
        """Let the last values of stories wait to be sent that are due by now; where they do not fit, later."""
        with self._lock:
            callback, now = state.callbacks.get(STORY_LOGIN), self._clock.now()
            if callback is None or STORIES not in callback.fields or now - state.collected < step:
                return
            stories = [
                story
                for one in self.subscriptions.all_of(STORY_LOGIN)
                for story in stories_due(one.account, max(state.collected, one.since), now)
            ]
            changes = sorted((story_change(story, self._switches) for story in stories), key=lambda each: each.time)
            try:
                _posted(state, callback, changes, packing=callback.packing, now=now)
            except OutboxFullError:
                return
            state.collected = max(state.collected, now)

    def _invented(self, state: _State, account_id: str | None, name: str, *, times: int) -> list[Change]:
        now = self._clock.now()
        account = self._accounts.at(0) if account_id is None else self._accounts.by_id(account_id)
        if account is None:
            raise BadInputError("no such account")
        if name != STORIES:
            return [invented(account, name, next(state.numbers), now) for _ in range(times)]
        stories = stories_of(account)
        over = range(stories.live(now).start)[-times:]
        return [story_change(stories.numbered(number), self._switches) for number in over]


def _posted(
    state: _State, callback: Callback, changes: Sequence[Change], *, packing: Packing, now: float
) -> tuple[Sequence[Change], list[int]]:
    """Let the deliveries of some changes wait; return the changes with their numbers, and the deliveries' numbers."""
    numbered = state.outbox.numbered(changes)
    deliveries = packed(numbered, SECRETS[callback.login], packing)
    return numbered, state.outbox.add(callback.login, numbered, deliveries, now=now)


def _described(callback: Callback) -> Json:
    packing = callback.packing
    return {
        "login": callback.login,
        "callback_url": callback.url,
        "fields": list(callback.fields),
        "shape": packing.shape,
        "batch": packing.batch,
        "duplicates": packing.duplicates,
        "forged": packing.forged,
        "shuffle": packing.shuffle,
        "seed": packing.seed,
    }
