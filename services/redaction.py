"""Takes credentials out of texts that leave the process."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
# Credentials that we were never told, such as those a provider echoes: named parameters, headers, Meta's prefixes.
_PARAMETER = re.compile(
    r"(?i)\b(access_token|input_token|fb_exchange_token|client_secret|appsecret_proof|app_secret|api_key|token)"
    r"([\"']?\s*[=:]\s*[\"']?|%3D)([^\s&\"'<>,;)}\]]{4,})"
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]{4,}")
_META_TOKEN = re.compile(r"\b(?:EAA|IGAA|IGQ)[A-Za-z0-9_\-]{12,}")


def _forms(secret: str) -> tuple[str, ...]:
    return (secret, quote(secret, safe=""), quote_plus(secret), b64encode(secret.encode()).decode().rstrip("="))


class Redaction:
    """Replaces the given secrets, also as URLs and base64 write them, and whatever looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None

    def __call__(self, text: str) -> str:
        """Return the text without credentials."""
        if self._known is not None:
            text = self._known.sub(MARK, text)
        text = _META_TOKEN.sub(MARK, text)
        text = _BEARER.sub(rf"\1{MARK}", text)
        return _PARAMETER.sub(rf"\1\2{MARK}", text)

    def known(self, text: str) -> str:
        """Return the text without the given secrets; what merely looks like a credential stays, for it may be prose."""
        return text if self._known is None else self._known.sub(MARK, text)

    def inside(self, value: object) -> object:
        """Return a JSON value with every text in it, and every key, without credentials."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.inside(each) for each in value]
        if isinstance(value, dict):
            return {self(str(key)): self.inside(each) for key, each in value.items()}
        return value
