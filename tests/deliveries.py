"""Deliveries of any shape, also of those that Meta never sends, and signatures over their bytes."""

from __future__ import annotations

import hashlib
import hmac
import json

PATH = "/webhooks/instagram"
SIGNATURE = "X-Hub-Signature-256"


def signature(body: bytes, secret: str) -> str:
    """The value of the header."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers of a delivery."""
    return {SIGNATURE: signature(body, secret), "Content-Type": "application/json"}


def change(field: str, value: object) -> dict[str, object]:
    return {"field": field, "value": value}


def story_insights(media_id: str, **values: object) -> dict[str, object]:
    """The one sample of Meta's page, with other values."""
    usual = {"impressions": 28, "reach": 17, "taps_forward": 12, "taps_back": 0, "exits": 1, "replies": 0}
    return change("story_insights", {"media_id": media_id, **usual, **values})


def entry(account: str, *changes: object, time: object = 1_760_000_000) -> dict[str, object]:
    return {"id": account, "time": time, "changes": list(changes)}


def body(*entries: object, object_: object = "instagram") -> bytes:
    """A delivery; as Meta writes it, with every character outside ASCII escaped."""
    return json.dumps({"object": object_, "entry": list(entries)}).encode()
