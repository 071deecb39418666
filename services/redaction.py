"""Takes credentials out of texts that leave the process."""

from __future__ import annotations

import re
import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
HEAD = 6  # characters by which a learnt secret is found; those of one app begin alike
LEARNT_AT_MOST = 10_000
# Credentials that we were never told, such as those a provider echoes: named parameters, headers, Meta's prefixes.
_PARAMETER = re.compile(
    r"(?i)\b(access_token|input_token|fb_exchange_token|client_secret|appsecret_proof|app_secret|api_key|token)"
    r"([\"']?\s*[=:]\s*[\"']?|%3D)([^\s&\"'<>,;)}\]]{4,})"
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s\"',;]{4,}")
_META_TOKEN = re.compile(r"\b(?:EAA|IGAA|IGQ)[A-Za-z0-9_\-]{12,}")


def _forms(secret: str) -> tuple[str, ...]:
    return (secret, quote(secret, safe=""), quote_plus(secret), b64encode(secret.encode()).decode().rstrip("="))


class Learnt:
    """Secrets that were learnt while running: thousands cost about as much as one. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: OrderedDict[str, None] = OrderedDict()  # the one learnt longest ago comes first
        self._forms: set[str] = set()
        self._lengths: tuple[int, ...] = ()
        self._begins: set[str] = set()
        self._heads: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        """Take in a secret; the one that was learnt longest ago is forgotten where there are too many."""
        with self._lock:
            if secret in self._secrets:
                self._secrets.move_to_end(secret)
                return
            self._secrets[secret] = None
            forms = {written for form in _forms(secret) for written in (form, form.lower())}
            self._forms |= forms
            if len(self._secrets) > LEARNT_AT_MOST:
                self._secrets.popitem(last=False)
                self._forms = {
                    written for each in self._secrets for form in _forms(each) for written in (form, form.lower())
                }
            self._lengths = tuple(sorted({len(form) for form in self._forms}, reverse=True))
            if not self._begins >= {form[:HEAD] for form in forms}:
                self._begins |= {form[:HEAD] for form in forms}
                self._heads = re.compile("|".join(map(re.escape, sorted(self._begins))))

    def out_of(self, text: str) -> str:
        """Return the text without them."""
        heads, lengths = self._heads, self._lengths
        if heads is None:
            return text
        parts, done, at = [], 0, heads.search(text)
        while at is not None:
            start = at.start()
            length = next((each for each in lengths if text[start : start + each] in self._forms), 0)
            if length:
                parts += [text[done:start], MARK]
                done = start + length
            at = heads.search(text, done if length else start + 1)
        return "".join([*parts, text[done:]]) if parts else text


class Redaction:
    """Replaces the given secrets, also as URLs and base64 write them, and whatever looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None
        self._learnt = Learnt()

    def learn(self, secret: str) -> None:
        """Replace one more secret from now on."""
        self._learnt.add(secret)

    def __call__(self, text: str) -> str:
        """Return the text without credentials."""
        text = self.known(text)
        text = _META_TOKEN.sub(MARK, text)
        text = _BEARER.sub(rf"\1{MARK}", text)
        return _PARAMETER.sub(rf"\1\2{MARK}", text)

    def known(self, text: str) -> str:
        """Return the text without the given secrets; what merely looks like a credential stays, for it may be prose."""
        text = self._learnt.out_of(text)
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
