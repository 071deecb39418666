"""The transport: the one module that sends, and that knows `requests`."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from services.clients import tally
from services.clock import Clock
from services.errors import ProviderError, ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError, Remedy

log = logging.getLogger(__name__)

OK, TOO_MANY = 200, 429
MAX_BODY_BYTES = 16 * 1024 * 1024  # A page of 100 posts with long captions is about 0.3 MB.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})  # never behind a proxy
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "insights-gateway"}
CHUNK_BYTES = 64 * 1024
NAMES: Mapping[str, str] = {"instagram": "Instagram", "modash": "Modash"}

Json = dict[str, object] | list[object] | str | int | float | bool | None


@dataclass(frozen=True)
class Reply:
    """A provider's answer, whatever its status, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """Return the decoded body; raise `ValueError` where it is not JSON (NaN and Infinity are not).

        Half a surrogate pair, which JSON may hold and UTF-8 may not, becomes a question mark.
        """
        value = json.loads(self.body, parse_constant=_refuse_constant, parse_float=_finite)
        if SURROGATE.search(self.body):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
        return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Surroundings:
    """Through what a provider is reached from this machine: proxies by scheme, and the certificates to trust."""

    proxies: Mapping[str, str]
    verify: bool | str


class Bearer(AuthBase):
    """`Authorization: Bearer`, set for each request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __repr__(self) -> str:
        return "Bearer(...)"


class Transport:
    """GET requests to one provider: bounded in time and size, without redirects, cookies or repetitions.

    All threads share one adapter, which is a pool of connections and safe to share. A session, which is not, would
    add cookies, redirects, `.netrc` and a fifth to the cost of each call, and none of them is wanted.
    """

    def __init__(
        self, provider: str, *, connect_timeout: float, read_timeout: float, connections: int, clock: Clock
    ) -> None:
        self._provider = provider
        self._timeout = (connect_timeout, read_timeout)
        self._clock = clock
        self._adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
        self._surroundings: Surroundings | None = None

    def get(self, url: str, *, params: Mapping[str, str], auth: Bearer | None) -> Reply:
        """Return the answer to one GET.

        Raises `ProviderTimeoutError`, `ProviderUnavailableError` (not reached, or cut before an answer) and
        `ProviderResponseError` (redirected, too large, cut or undecodable in its midst). None of them carries
        the URL, for the URL may carry a credential.
        """
        started = self._clock.monotonic()
        try:
            reply = self._send(url, params, auth, started)
        except ProviderError as error:
            self._note(error.code, started)
            raise
        self._note(str(reply.status), started)
        return reply

    def _send(self, url: str, params: Mapping[str, str], auth: Bearer | None, started: float) -> Reply:
        try:
            request = requests.Request("GET", url, headers=HEADERS, params=dict(params), auth=auth).prepare()
            around = self._surroundings_of(url)
            with self._adapter.send(
                request, stream=True, timeout=self._timeout, verify=around.verify, proxies=around.proxies
            ) as response:
                return Reply(response.status_code, response.headers, self._read(response, started))
        except requests.RequestException as error:
            raise self._failure(error) from None
        except HTTPError as error:
            raise self._broken(error) from None

    def _note(self, outcome: str, started: float) -> None:
        seconds = self._clock.monotonic() - started
        if (counted := tally.current.get()) is not None:
            counted.add(seconds)
        extra = {"provider": self._provider, "outcome": outcome, "milliseconds": round(seconds * 1000, 2)}
        log.debug("provider call", extra=extra)

    def _surroundings_of(self, url: str) -> Surroundings:
        """Return the proxies and certificates that the environment names for the provider, read once.

        `requests` would look them up with every call, which is a quarter of what a call costs.
        """
        if self._surroundings is None:
            with requests.Session() as session:
                found = session.merge_environment_settings(url, {}, None, None, None)
            proxies = {} if urlsplit(url).hostname in LOOPBACK else found["proxies"]
            self._surroundings = Surroundings(proxies, True if found["verify"] is None else found["verify"])
        return self._surroundings

    def _read(self, response: requests.Response, started: float) -> bytes:
        if response.is_redirect:
            raise self._nonsense("redirects us elsewhere")
        body = bytearray()
        # One read of the socket at a time: to fill a larger piece could take for ever.
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise self._nonsense(f"sends more than {MAX_BODY_BYTES // 1024 // 1024} MB")
            # `requests` bounds the time between two bytes only; a trickle must end as well.
            if self._clock.monotonic() - started > 2 * self._timeout[1]:
                raise self._late()
        return bytes(body)

    def _failure(self, error: requests.RequestException) -> ProviderError:
        # A timeout in the midst of a body comes as a ConnectionError, so the cause is asked before the class.
        cause = error.args[0] if error.args else None
        reason = getattr(cause, "reason", cause)
        if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError | ConnectTimeoutError):
            return self._unreached("cannot be reached")
        if isinstance(error, requests.exceptions.SSLError) or isinstance(reason, SSLError):
            return self._unreached("cannot be reached securely", remedy=Remedy.STOP)
        if isinstance(error, requests.Timeout) or isinstance(reason, ReadTimeoutError):
            return self._late()
        return ProviderUnavailableError(
            f"{self._name} closed the connection without an answer.",
            provider=self._provider,
            hint="Try again in a minute.",
            remedy=Remedy.TRY_AGAIN,
        )

    def _broken(self, error: HTTPError) -> ProviderError:
        if isinstance(error, ReadTimeoutError):
            return self._late()
        if isinstance(error, DecodeError):
            return self._nonsense("sends an answer that cannot be decoded")
        return self._nonsense("breaks off in the midst of an answer")

    @property
    def _name(self) -> str:
        return NAMES[self._provider]

    def _nonsense(self, what: str) -> ProviderError:
        return ProviderResponseError(f"{self._name} {what}.", provider=self._provider, hint="Try again in a minute.")

    def _late(self) -> ProviderError:
        return ProviderTimeoutError(
            f"{self._name} did not answer in time.", provider=self._provider, hint="Try again in a minute."
        )

    def _unreached(self, what: str, *, remedy: Remedy = Remedy.TRY_AGAIN) -> ProviderError:
        return ProviderUnavailableError(
            f"{self._name} {what}.",
            provider=self._provider,
            hint="Check that this machine reaches the provider, then try again.",
            reached=False,
            remedy=remedy,
        )


def _finite(text: str) -> float | None:
    """Return a number, or None for one beyond every float, which we could not hand on as JSON."""
    number = float(text)
    return number if math.isfinite(number) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
