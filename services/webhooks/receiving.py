"""POST /webhooks/instagram: deliveries, which are kept before they are answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.clock import Clock
from services.errors import BusyError
from services.store.database import DatabaseUnavailableError
from services.store.webhooks import WebhookTable
from services.webhooks.errors import DeliveryNotKeptError
from services.webhooks.handshake import answer
from services.webhooks.signature import SignatureCheck

SMALL_BODY = 64 * 1024  # bytes; such a body needs no room: a process reads at most 80 at once
ROOM = 16 * 1024 * 1024  # bytes of larger bodies that a process reads at once: one of the greatest size, or many others
ROOM_WAIT = 5.0  # seconds


class Room:
    """Memory for bodies: so many bytes at once; safe for threads."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._changed = threading.Condition()

    def acquire(self, size: int, *, within: float) -> bool:
        """Take room for a body; return whether there was enough within so many seconds."""
        with self._changed:
            is_free = self._changed.wait_for(lambda: self._free >= size, within)
            if is_free:
                self._free -= size
            return is_free

    def give_back(self, size: int) -> None:
        """Give the room of a body back."""
        with self._changed:
            self._free += size
            self._changed.notify_all()


class Webhooks:
    """Checks what comes from Meta and keeps it; nothing is read or applied while Meta waits for the answer."""

    def __init__(self, table: WebhookTable, *, secrets: Mapping[str, str], verify_token: str, clock: Clock) -> None:
        """`secrets` are the app secrets by login; an empty one signs nothing."""
        self._table = table
        self._signatures = SignatureCheck(secrets)
        self._verify_token = verify_token
        self._clock = clock
        self._room = Room(ROOM)

    def challenge(self, mode: str, token: str, challenge: str) -> str:
        """Return the challenge of a handshake, with which the gateway agrees to deliveries."""
        return answer(self._verify_token, mode, token, challenge)

    @contextmanager
    def room_for(self, signature: str | None, size: int) -> Iterator[None]:
        """Let a body be read whose signature has the right form, as long as all bodies together are not too large.

        Anyone may send a large body, and whether it is signed shows only once all of it was read.
        """
        self._signatures.well_formed(signature)
        if size <= SMALL_BODY:
            yield
            return
        if not self._room.acquire(size, within=ROOM_WAIT):
            raise BusyError("Other large deliveries are being read.", hint="Send it again.")
        try:
            yield
        finally:
            self._room.give_back(size)

    def receive(self, signature: str | None, body: bytes | bytearray) -> None:
        """Keep a delivery whose signature is right; it is committed when this returns."""
        signed_by = self._signatures.signer_of(body, signature)
        try:
            self._table.keep(bytes(body), signed_by=signed_by, received_at=self._clock.timestamp())
        except DatabaseUnavailableError:
            raise DeliveryNotKeptError(
                "The delivery could not be kept.", hint="Send it again; /readyz says what is wrong."
            ) from None
