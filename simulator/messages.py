"""What comes in and what goes out, once the wire is taken away."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

SECRETS = frozenset(
    {"access_token", "input_token", "fb_exchange_token", "client_secret", "appsecret_proof", "code", "verify_token"}
)


@dataclass(frozen=True)
class Request:
    """One request; `path` has no host prefix, `base` is the address that a caller used up to and including it."""

    method: str
    path: str
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base: str = ""
    received_at: float = field(default_factory=time.monotonic, compare=False)  # seconds of no known beginning

    @classmethod
    def parse(cls, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Self:
        """Build a request from the parts of its first line; header names are lower case."""
        parts = urlsplit(target)
        return cls(method, parts.path, parts.query, headers, body, f"http://{headers.get('host', '127.0.0.1')}")

    def under(self, prefix: str) -> "Request":
        """Return the same request as the host behind `prefix` sees it."""
        return replace(self, path=self.path.removeprefix(prefix) or "/", base=self.base + prefix)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters in their order."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters by name; the last one of a name wins."""
        return dict(self.pairs)

    @property
    def bearer(self) -> str | None:
        """The token of the Authorization header."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None

    @property
    def without_secrets(self) -> str:
        """Path and query with every credential taken out."""
        kept = urlencode([(name, value) for name, value in self.pairs if name not in SECRETS], safe=",{}():@")
        return f"{self.path}?{kept}" if kept else self.path


@dataclass(frozen=True)
class Reply:
    """One answer, and how the wire is to mistreat it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"
    declared_length: int | None = None  # Another Content-Length than the true one; the connection ends after the body.
    repeat: int = 1  # The body is sent so many times, for answers too large to hold.
    cut: bool = False  # The connection ends without an answer.
    weight: int = 1  # For so many calls this one counts.
    parts: tuple[tuple[Request, "Reply"], ...] = ()  # the calls of a batch, each with its answer

    @classmethod
    def json(cls, status: int, content: Any, headers: Mapping[str, str] | None = None) -> Self:
        """Build a JSON answer."""
        return cls(status, json.dumps(content, separators=(",", ":")).encode(), headers or {})

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """Return the same answer with more headers; those it has already stay."""
        return replace(self, headers={**headers, **self.headers})


class BadInputError(Exception):
    """What was sent to one of the simulator's own paths cannot be used."""
