"""The signatures of deliveries, genuine and forged."""

import hashlib
import hmac
from collections.abc import Mapping

SHA256, SHA1 = "X-Hub-Signature-256", "X-Hub-Signature"
FORGERIES = ("other_secret", "other_body", "missing", "sha1_only", "empty", "no_hex", "cut")
OTHER_SECRET = "the-secret-of-a-forger"  # noqa: S105 - invented

Headers = Mapping[str, str]


def signed(body: bytes, secret: str) -> Headers:
    """Return the headers with the signatures of a body; the older one, with SHA-1, still comes too."""
    return {
        SHA256: f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
        SHA1: f"sha1={hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}",
    }


def forged_headers(forgery: str, body: bytes, *, genuine: bytes, secret: str) -> Headers:
    """Return the headers of a forged body; the forger knows a genuine delivery, not the secret."""
    own, seen = signed(body, OTHER_SECRET), signed(genuine, secret)
    headers: dict[str, Headers] = {
        "other_secret": own,
        "other_body": seen,
        "missing": {},
        "sha1_only": {SHA1: own[SHA1]},
        "empty": {SHA256: "sha256="},
        "no_hex": {SHA256: f"sha256={'z' * 64}"},
        "cut": {SHA256: seen[SHA256][:-1]},
    }
    return headers[forgery]
