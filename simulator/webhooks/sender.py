"""The wire to a callback: the handshake and the deliveries, each with a timeout."""

import contextlib
import http.client
from urllib.parse import SplitResult, urlencode, urlsplit

from simulator.messages import BadInputError
from simulator.webhooks.packing import Packed

TIMEOUT = 10  # seconds
LONGEST_ANSWER = 10_000  # bytes that are read of an answer
HEADERS = {"User-Agent": "facebookexternalua", "Accept": "*/*"}


class HandshakeError(BadInputError):
    """A callback did not answer, or not with the challenge; `status` is that of its answer."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


def shake_hands(url: str, *, verify_token: str, challenge: int) -> None:
    """Ask a callback to repeat a challenge, or refuse it."""
    given = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    query = "&".join(filter(None, (urlsplit(url).query, urlencode(given))))
    try:
        status, answer = _send("GET", address(url), query=query)
    except (OSError, http.client.HTTPException) as error:
        raise HandshakeError(f"the callback could not be reached: {type(error).__name__}", None) from None
    if status != http.HTTPStatus.OK or answer.strip() != str(challenge).encode():
        raise HandshakeError(f"the callback URL or the verify token could not be validated: status {status}", status)


def deliver(url: str, packed: Packed) -> int | None:
    """Send a delivery and return the status of the answer, or None if there was none."""
    headers = {"Content-Type": "application/json", **packed.headers}
    with contextlib.suppress(OSError, http.client.HTTPException):
        status, _ = _send("POST", address(url), query=urlsplit(url).query, body=packed.body, headers=headers)
        return status
    return None


def address(url: str) -> SplitResult:
    """Return the parts of a callback URL, or refuse it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadInputError("callback_url must be an address such as http://127.0.0.1:8000/webhooks/instagram")
    return parts


def _send(
    method: str, to: SplitResult, *, query: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    with contextlib.closing(kind(str(to.hostname), to.port, timeout=TIMEOUT)) as connection:
        path = to.path or "/"
        connection.request(method, f"{path}?{query}" if query else path, body, {**HEADERS, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read(LONGEST_ANSWER)
