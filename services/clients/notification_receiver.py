"""The receiver of the outgoing webhook, by the Standard Webhooks specification (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

from services.clients.http import Transport
from services.clients.notification_signature import signature
from services.clients.retry_after import retry_after
from services.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError

SECRET_PREFIX = "whsec_"  # noqa: S105  # What such a secret begins with.
NOT_ANSWERED = "receiver_failed"
FAILURES: Mapping[str, str] = {
    ProviderUnavailableError.code: "receiver_unreachable",
    ProviderTimeoutError.code: "receiver_timeout",
}


class DeliveryOutcome(NamedTuple):
    """What became of one delivery: the status (None without an answer), and why it failed, or None if it did not."""

    status: int | None
    failure: str | None
    retry_after: int | None = None
    message: str = ""


class ReceiverClient:
    """Sends events to the receiver. Of its answers nothing but the status and `Retry-After` is read."""

    def __init__(self, transport: Transport, url: str, secrets: Sequence[str]) -> None:
        """Build the client; each of `secrets` signs, so that the receiver can replace one without a gap."""
        self._transport = transport
        self._url = url
        self._keys = [base64.b64decode(secret.removeprefix(SECRET_PREFIX)) for secret in secrets]

    def post_event(self, event_id: str, body: str, *, at: float) -> DeliveryOutcome:
        """Send an event; it is accepted if, and only if, the status is of the 200s."""
        data = body.encode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": " ".join(signature(key, event_id, int(at), data) for key in self._keys),
        }
        try:
            reply = self._transport.send("POST", self._url, params={}, headers=headers, body=data, reads_body=False)
        except ProviderError as error:
            return DeliveryOutcome(None, failure_of(error.code), message=error.message)
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return DeliveryOutcome(reply.status, None)
        return DeliveryOutcome(reply.status, f"http_{reply.status}", retry_after(reply.headers, now=reply.received_at))


def failure_of(code: str) -> str:
    """Return what a failure without a status is called, by the code of the transport: the receiver is no provider."""
    return FAILURES.get(code, NOT_ANSWERED)
