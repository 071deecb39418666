"""GET /webhooks/instagram: Meta's handshake (`hub.mode`, `hub.verify_token`, `hub.challenge`)."""

from __future__ import annotations

import hmac

from services.errors import InvalidRequestError
from services.webhooks.errors import VerifyTokenInvalidError, WebhookNotConfiguredError

WEBHOOK_PATH = "/webhooks/instagram"  # of handshakes and deliveries


def answer(verify_token: str, mode: str, token: str, challenge: str) -> str:
    """Return the challenge, with which the gateway agrees to deliveries, if the token is its own.

    Raises `WebhookNotConfiguredError`, `VerifyTokenInvalidError` and `InvalidRequestError`.
    """
    if not verify_token:
        raise WebhookNotConfiguredError(
            "The gateway has no verify token, so it accepts no handshake.",
            hint="For the operator: set WEBHOOK_VERIFY_TOKEN and enter the same text in the app's dashboard.",
        )
    if not hmac.compare_digest(token.encode(errors="replace"), verify_token.encode()):
        raise VerifyTokenInvalidError(
            "hub.verify_token is not the gateway's.",
            hint="For the operator: the dashboard's verify token and WEBHOOK_VERIFY_TOKEN must be the same text.",
        )
    if mode != "subscribe" or not challenge:
        raise InvalidRequestError("This is not a handshake.", hint="Accepted: hub.mode=subscribe with a hub.challenge.")
    return challenge
