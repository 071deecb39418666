"""The checks of the callback URL: what Meta does with it, done from here, and what is wrong where it fails."""

from __future__ import annotations

import hashlib
import hmac
import secrets as randomness
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from services.accounts.checks import Check
from services.clients.http import Reply, Transport
from services.errors import InvalidRequestError, ProviderError
from services.webhooks.errors import SignatureInvalidError, VerifyTokenInvalidError, WebhookNotConfiguredError
from services.webhooks.handshake import WEBHOOK_PATH

EMPTY_DELIVERY = b'{"object":"instagram","entry":[]}'  # Nothing is in it, so nothing is applied.
OF_LOGIN = {"facebook": "APP_SECRET", "instagram": "INSTAGRAM_APP_SECRET"}
CODES = {
    VerifyTokenInvalidError.code: "The gateway there has another WEBHOOK_VERIFY_TOKEN than the settings here.",
    SignatureInvalidError.code: "The gateway there has another secret, or something between changes the body.",
    WebhookNotConfiguredError.code: "The gateway there was started without this setting.",
    "host_not_allowed": "ALLOWED_HOSTS of the gateway there lacks this name, or the proxy before it changes Host.",
}
RESTART = "Restart the gateway with these settings, then check again."
TRY_OTHER_PATH = f"The URL must lead to the gateway's path {WEBHOOK_PATH}, unchanged."


class CallbackChecks:
    """Does with a callback URL what Meta will do."""

    def __init__(
        self, transport: Transport, *, verify_token: str, secrets: Mapping[str, str], is_rehearsal: bool
    ) -> None:
        """`secrets` are the app secrets by login. A rehearsal is with the simulator, which takes HTTP."""
        self._transport = transport
        self._verify_token = verify_token
        self._secrets = {login: secret for login, secret in secrets.items() if secret}
        self._is_rehearsal = is_rehearsal

    def of(self, url: str) -> Iterator[Check]:
        """Run the checks of an address, with or without the path; after a failed handshake no others."""
        url = callback_url(url)
        yield self._settings()
        yield self._address(url)
        handshake = self._handshake(url)
        yield handshake
        if handshake.ok:
            yield self._other_token(url)
            for login in self._secrets:
                yield self._delivery(url, login)

    def _settings(self) -> Check:
        missing = [] if self._verify_token else ["WEBHOOK_VERIFY_TOKEN"]
        missing += [] if self._secrets else ["APP_SECRET or INSTAGRAM_APP_SECRET"]
        if missing:
            return Check("settings", False, f"{' and '.join(missing)} is not set.", "Set it in .env, then restart.")
        verified = " and ".join(f"{login} ({OF_LOGIN[login]})" for login in self._secrets)
        return Check("settings", True, f"deliveries are verified for the login {verified}")

    def _address(self, url: str) -> Check:
        if urlsplit(url).scheme == "https":
            return Check("address", True, url)
        message = f"{url} is not HTTPS, and Meta takes no other address."
        if self._is_rehearsal:
            return Check("address", None, f"{message} The simulator does.")
        return Check("address", False, message, "Give the proxy before the gateway a certificate and use https://.")

    def _handshake(self, url: str) -> Check:
        if not self._verify_token:
            return Check("handshake", None, "not checked without WEBHOOK_VERIFY_TOKEN")
        challenge = str(randomness.randbelow(10**10))
        try:
            reply = self._shake(url, self._verify_token, challenge)
        except ProviderError as error:
            return Check("handshake", False, error.message, _reachable(error))
        if reply.status == HTTPStatus.OK and reply.body == challenge.encode():
            return Check("handshake", True, "the challenge was answered")
        if reply.status == HTTPStatus.OK:
            message = "It answers with something else than the challenge: another program, or a page of a proxy."
            return Check("handshake", False, message, TRY_OTHER_PATH)
        return _refused("handshake", reply)

    def _other_token(self, url: str) -> Check:
        """Check that the token matters: a server that answers every challenge is not the gateway."""
        try:
            reply = self._shake(url, f"not-{randomness.token_hex(8)}", "1")
        except ProviderError as error:
            return Check("other token", False, error.message, _reachable(error))
        if reply.status == HTTPStatus.FORBIDDEN:
            return Check("other token", True, "a handshake with another token is refused")
        message = f"A handshake with another token is answered with HTTP {reply.status}."
        return Check("other token", False, message, TRY_OTHER_PATH)

    def _delivery(self, url: str, login: str) -> Check:
        """Send an empty delivery, signed as Meta signs."""
        name = f"delivery ({login} login)"
        digest = hmac.new(self._secrets[login].encode(), EMPTY_DELIVERY, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
        try:
            reply = self._transport.send("POST", url, params={}, headers=headers, body=EMPTY_DELIVERY)
        except ProviderError as error:
            return Check(name, False, error.message, _reachable(error))
        if reply.status == HTTPStatus.OK:
            return Check(name, True, "a signed delivery was accepted")
        return _refused(name, reply)

    def _shake(self, url: str, token: str, challenge: str) -> Reply:
        params = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": challenge}
        return self._transport.get(url, params=params, auth=None)


def callback_url(text: str) -> str:
    """Return the callback URL of an address that may lack the path; raise `InvalidRequestError` where it is none."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host or parts.scheme not in {"http", "https"} or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidRequestError(
            "This is not the address of a webhook.", hint=f"Accepted: https://<host>{WEBHOOK_PATH}."
        )
    return text if parts.path.rstrip("/") else f"{text.rstrip('/')}{WEBHOOK_PATH}"


def _refused(name: str, reply: Reply) -> Check:
    code = _code(reply)
    if code in CODES:
        return Check(name, False, CODES[code], RESTART)
    message = f"It answers with HTTP {reply.status}{f' ({code})' if code else ''}."
    if reply.status == HTTPStatus.NOT_FOUND:
        return Check(name, False, message, TRY_OTHER_PATH)
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}:
        return Check(name, False, message, "A proxy asks for a login; Meta has none. Let this path through.")
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Check(name, False, message, "Look at /readyz of the gateway, and at the log of the proxy.")
    return Check(name, False, message, TRY_OTHER_PATH)


def _code(reply: Reply) -> str | None:
    """Return the code of an error of a gateway."""
    try:
        body = reply.json()
    except ValueError:
        return None
    code = body.get("code") if isinstance(body, dict) and body.get("error") is True else None
    return code if isinstance(code, str) else None


def _reachable(error: ProviderError) -> str:
    if error.reached:
        return error.hint or TRY_OTHER_PATH
    return "Check the host name, the certificate, the port and the firewall; Meta must reach it from the internet."
