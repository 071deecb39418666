"""The transport: the one module that sends."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import quote_plus, urlsplit

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from services import request_context
from services.clients.connections import MAX_HEAD, MAX_HOSTS, Attempt, NotingAdapter, Stage
from services.clients.connections import current as current_attempt
from services.clients.error_mapping import TRY_SOON
from services.clients.json_text import decode
from services.clients.this_machine import leads_to_this_machine
from services.clock import Clock
from services.errors import (
    Charge,
    ProviderError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RetryStrategy,
)

log = logging.getLogger(__name__)

OK, TOO_MANY = 200, 429
CALLBACK = "callback"  # The gateway's own address on the internet, which a command checks.
RECEIVER = "receiver"  # The operator's program to which the outgoing webhook leads.
MEGABYTE = 1024 * 1024
# A report has about 20 KB. A page of 100 posts has about 0.3 MB, and 1.5 MB where every caption is as long as it may be
# and of letters that Instagram writes as `\\uXXXX`.
MAX_BODY_BYTES: Mapping[str, int] = {"instagram": 2 * MEGABYTE, "modash": MEGABYTE, CALLBACK: MEGABYTE, RECEIVER: 0}
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # as an escape sequence, or as bytes that are no UTF-8
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "insights-gateway"}
CHUNK_BYTES = 64 * 1024
UNREACHED_HINT = "Check that this machine reaches it"
PAID_CALL_NEEDS = 0.5  # seconds that must be left of a request, so that its caller may see the answer
ROUNDING = 0.01  # seconds by which a timeout may come early
NAMES: Mapping[str, str] = {
    "instagram": "Instagram",
    "modash": "Modash",
    CALLBACK: "The callback URL",
    RECEIVER: "The receiver",
}
# The settings
BASE_URLS: Mapping[str, str] = {
    "instagram": "GRAPH_BASE_URL",
    "modash": "MODASH_BASE_URL",
    CALLBACK: "the address that was given",
    RECEIVER: "NOTIFY_URL",
}
# Each call has one connection at most, so none was made where one of these came.
NEVER_CONNECTED = (requests.ConnectTimeout, ConnectTimeoutError, NewConnectionError)

OnCall = Callable[[str, str, float], None]
"""Gets the provider of each call that was made, its status or the code of its failure, and the seconds it took."""

Json = dict[str, object] | list[object] | str | int | float | bool | None


def ignore_call(_provider: str, _outcome: str, _seconds: float) -> None:
    """Do nothing with a call."""


@dataclass(frozen=True)
class Reply:
    """A provider's complete answer, of any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float  # Unix seconds

    def json(self) -> Json:
        """Return the decoded body; raise `ValueError` where it is not JSON (NaN and Infinity are not) or too deep.

        Half a surrogate pair, which JSON may hold and UTF-8 may not, becomes a question mark, however it is written.
        """
        value = decode(self.body, parse_constant=_refuse_constant, parse_float=_finite)
        if SURROGATE.search(self.body):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
        return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Network:
    """How this machine reaches a provider: proxies by scheme, and the certificates to trust."""

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
    """Requests to one provider: bounded in time and size, without redirects, cookies or repetitions.

    All threads share one adapter, which is a pool of connections and safe to share. A session, which is not, would
    add cookies, redirects, `.netrc` and a fifth to the cost of each call, and none of them is wanted.
    """

    def __init__(
        self,
        provider: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        connections: int,
        clock: Clock,
        answer_timeout: float | None = None,
        unreached_hint: str = UNREACHED_HINT,
        on_call: OnCall = ignore_call,
    ) -> None:
        """Build the transport; `unreached_hint` says what to look at where nothing answers and no proxy is set.

        A read may take `read_timeout`, a whole call `answer_timeout`: by default twice as long.
        """
        self._provider = provider
        self._unreached_hint = unreached_hint
        self._on_call = on_call
        self._timeout = (connect_timeout, read_timeout)
        self._answer_timeout = 2 * read_timeout if answer_timeout is None else answer_timeout
        self._clock = clock
        self._adapter = NotingAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
        self._networks: dict[tuple[str, str], Network] = {}  # by scheme, and host with port

    def get(self, url: str, *, params: Mapping[str, str], auth: Bearer | None, is_paid: bool = False) -> Reply:
        """Return the answer to one GET."""
        return self.send("GET", url, params=params, auth=auth, is_paid=is_paid)

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str],
        auth: Bearer | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        is_paid: bool = False,
        reads_body: bool = True,
    ) -> Reply:
        """Return the answer to one request; a refusal whose body cannot be read has an empty one.

        Without `reads_body` the connection is closed after the head: the answer has no body, and may be a redirect.

        The timeouts are cut to what is left of the request's time; when that is over, `DeadlineExceededError` is
        raised. A paid call is only begun while enough of it is left, and then waited for as if there were no end. It
        has a connection of its own: one that sat idle may be dead, which shows only once the request was sent. What was
        paid for may be late: the rest of its answer is read for one read timeout more.

        Raises `ProviderTimeoutError`, `ProviderUnavailableError` (not reached, or cut before an answer) and
        `ProviderResponseError` (redirected, too large, cut in the middle or undecodable). None of them carries
        the URL, for the URL may carry a credential.
        """
        request_context.require(PAID_CALL_NEEDS if is_paid else 0.0)
        left = math.inf if is_paid else request_context.remaining()
        started = self._clock.monotonic()
        longest = min(self._answer_timeout, left)
        attempt = Attempt(
            Stage.PREPARING,
            remaining=lambda: longest - (self._clock.monotonic() - started),
            grace=self._timeout[1] if is_paid else 0.0,
            max_body=MAX_BODY_BYTES[self._provider],
        )
        noted = current_attempt.set(attempt)
        adapter = NotingAdapter(pool_connections=1, pool_maxsize=1) if is_paid else self._adapter
        network: Network | None = None
        try:
            if method == "GET" and auth is not None and not headers:
                request = _authorized_get(url, params, auth)
            else:
                request = requests.Request(
                    method, url, headers={**HEADERS, **(headers or {})}, params=dict(params), data=body, auth=auth
                ).prepare()
            network = self._network_of(url)
            attempt.stage = Stage.SENT  # until the adapter says that it only begins: the careful assumption
            with adapter.send(
                request,
                stream=True,
                timeout=(min(self._timeout[0], left), min(self._timeout[1], left)),
                verify=network.verify,
                proxies=network.proxies,
            ) as response:
                reply = self._reply(response, attempt, reads_body=reads_body)
        except ProviderError as error:
            failure = error
        # `requests` raises its own exceptions (which are OSErrors), some of urllib3, and plain ones for settings of
        # the environment.
        except (OSError, HTTPError, ValueError) as error:
            has_proxy = network is not None and bool(select_proxy(url, dict(network.proxies)))
            failure = self._failure(error, attempt, has_proxy=has_proxy)
        else:
            self._note(str(reply.status), started)
            return reply
        finally:
            current_attempt.reset(noted)
            if is_paid:
                adapter.close()
        if self._clock.monotonic() - started >= left - ROUNDING:
            failure = request_context.deadline_exceeded()
        self._note(failure.code, started)
        raise failure  # Outside of the handlers: an exception of `requests`, as its context, would show the URL.

    def _note(self, outcome: str, started: float) -> None:
        seconds = self._clock.monotonic() - started
        if (context := request_context.current.get()) is not None:
            context.count_call(seconds)
        self._on_call(self._provider, outcome, seconds)
        extra = {"provider": self._provider, "outcome": outcome, "milliseconds": round(seconds * 1000, 2)}
        log.debug("provider call", extra=extra)

    def _network_of(self, url: str) -> Network:
        """Return the proxies and certificates that the environment names for a host, read once for each.

        `requests` would look them up with every call, which is a quarter of what a call costs.
        """
        parts = urlsplit(url)
        place = parts.scheme, parts.netloc
        network = self._networks.get(place)
        if network is None:
            with requests.Session() as session:
                found = session.merge_environment_settings(url, {}, None, None, None)
            proxies = {} if leads_to_this_machine(url) else found["proxies"]
            network = Network(proxies, True if found["verify"] is None else found["verify"])
            if len(self._networks) >= MAX_HOSTS:
                self._networks.clear()
            self._networks[place] = network
        return network

    def _reply(self, response: requests.Response, attempt: Attempt, *, reads_body: bool) -> Reply:
        status = response.status_code
        if not reads_body:
            return Reply(status, response.headers, b"", self._clock.timestamp())
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise self._redirected()
        try:
            body = self._body(response, attempt)
        except (ProviderError, OSError, HTTPError):
            # The status of a refusal or a fault says enough, whatever becomes of its body.
            if status < HTTPStatus.BAD_REQUEST:
                raise
            body = b""
        return Reply(status, response.headers, body, self._clock.timestamp())

    def _body(self, response: requests.Response, attempt: Attempt) -> bytes:
        body = bytearray()
        try:
            # One read of the socket at a time: filling a larger piece could take without end.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                body += chunk
                if len(body) > attempt.max_body:
                    raise self._nonsense(_too_large(attempt))
                # Decoding a compressed body goes on without reading, so the reader alone does not notice the end.
                if attempt.time_left() <= 0:
                    raise self._late()
        except (ProviderTimeoutError, OSError, HTTPError):
            # It may have been paid for. An object that can be read to its last brace is complete, however late it is
            # and however its connection ended.
            if not _is_object(body):
                raise
        return bytes(body)

    def _failure(self, error: Exception, attempt: Attempt, *, has_proxy: bool) -> ProviderError:
        # A timeout in the middle of a body comes as a ConnectionError, so the cause is checked before the class.
        cause = error.args[0] if error.args else None
        reason = getattr(cause, "reason", cause)
        found = (error, reason)
        stage = attempt.stage
        if stage is not Stage.SENT or _is_any(found, NEVER_CONNECTED):
            return self._unreached(found, stage, has_proxy=has_proxy)
        if _is_any(found, (requests.ReadTimeout, ReadTimeoutError)):
            return self._late()
        if (nonsense := _nonsense_of(error, attempt)) is not None:
            return self._nonsense(nonsense)
        return ProviderUnavailableError(
            f"{self._name} closed the connection without an answer.",
            provider=self._provider,
            hint=TRY_SOON,
            charge=Charge.UNKNOWN,
            retry_strategy=RetryStrategy.TRY_AGAIN,
        )

    def _unreached(self, found: Collection[object], stage: Stage, *, has_proxy: bool) -> ProviderError:
        """Return the failure of a call that never left this machine."""
        is_tls = _is_any(found, (requests.exceptions.SSLError, SSLError))
        if has_proxy and stage is Stage.PREPARING:
            what, is_lasting = "cannot be reached: the address of the proxy cannot be used", True
        elif has_proxy and stage is Stage.TUNNELLING:
            what, is_lasting = "cannot be reached: the proxy refuses to connect to it", False
        elif has_proxy and stage is not Stage.SECURING:
            what, is_lasting = "cannot be reached: the proxy cannot be reached", is_tls
        elif stage is Stage.PREPARING:
            what, is_lasting = "cannot be reached: its address or the certificates to trust cannot be used", True
        else:
            what, is_lasting = f"cannot be reached{' securely' if is_tls else ''}", is_tls
        hint = "Check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY" if has_proxy else self._unreached_hint
        return ProviderUnavailableError(
            f"{self._name} {what}.",
            provider=self._provider,
            hint=f"{hint}, then try again. No request was sent.",
            reached=False,
            charge=Charge.NONE,
            retry_strategy=RetryStrategy.STOP if is_lasting else RetryStrategy.TRY_AGAIN,
        )

    @property
    def _name(self) -> str:
        return NAMES[self._provider]

    def _redirected(self) -> ProviderError:
        return ProviderResponseError(
            f"{self._name} redirects the request to another address.",
            provider=self._provider,
            hint=f"Redirects are not followed. For the operator: look at {BASE_URLS[self._provider]}.",
            charge=Charge.NONE,
        )

    def _nonsense(self, what: str) -> ProviderError:
        return ProviderResponseError(
            f"{self._name} {what}.", provider=self._provider, hint=TRY_SOON, charge=Charge.UNKNOWN
        )

    def _late(self) -> ProviderError:
        return ProviderTimeoutError(
            f"{self._name} did not answer in time.", provider=self._provider, hint=TRY_SOON, charge=Charge.UNKNOWN
        )


def _authorized_get(url: str, params: Mapping[str, str], auth: Bearer) -> requests.PreparedRequest:
    """Return a read of a provider, as `requests` would prepare it.

    It takes a seventh of the time of a call for that: to look for cookies, files, hooks and credentials in the URL. A
    host beyond ASCII and odd characters of a path are written by urllib3, when it sends the request.
    """
    request = requests.PreparedRequest()
    request.method = "GET"
    request.url = f"{url}?{_query(params)}" if params else url
    request.headers = CaseInsensitiveDict(HEADERS)
    return auth(request)


def _query(params: Mapping[str, str]) -> str:
    """Return parameters as a query: as `urlencode` does, which looks at each character of what needs no escape."""
    return "&".join([f"{_escaped(name)}={_escaped(value)}" for name, value in params.items()])


def _escaped(text: str) -> str:
    is_plain = text.isascii() and (text.isalnum() or text.isidentifier())
    return text if is_plain else quote_plus(text)


def _nonsense_of(error: Exception, attempt: Attempt) -> str | None:
    """Return what is wrong with an answer of which a part came, or None if none came."""
    cause = error.args[0] if error.args else None
    inner = cause.args[-1] if isinstance(cause, HTTPError) and cause.args else None
    if attempt.head_exceeded:
        return f"sends more than {MAX_HEAD // 1024} KB of headers"
    if attempt.body_exceeded:
        return _too_large(attempt)
    if isinstance(inner, HTTPException) and not isinstance(inner, ConnectionError):
        return "sends an answer that is not HTTP"
    if isinstance(error, DecodeError):
        return "sends an answer that cannot be decoded"
    if isinstance(error, HTTPError):  # Only the reading of a body raises those of urllib3 as they are.
        return "breaks off in the midst of an answer"
    return None


def _too_large(attempt: Attempt) -> str:
    return f"sends more than {attempt.max_body // MEGABYTE} MB"


def _is_any(errors: Collection[object], classes: tuple[type[Exception], ...]) -> bool:
    return any(isinstance(error, classes) for error in errors)


def _is_object(body: bytes | bytearray) -> bool:
    try:
        return isinstance(decode(body), dict)
    except ValueError:
        return False


def _finite(text: str) -> float | None:
    """Return a number, or None for one too large for a float, which JSON cannot represent."""
    number = float(text)
    return number if math.isfinite(number) else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
