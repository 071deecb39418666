"""The signature of an event of the outgoing webhook, by Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac


def signature(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of version 1: HMAC-SHA256 over id, timestamp and body, joined by full stops."""
    signed = b".".join((event_id.encode(), str(timestamp).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"
