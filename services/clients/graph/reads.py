"""One call of the Graph API, from its token to a readable answer: tries, guard, signature, envelope."""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import urlencode

from services.clients.error_mapping import provider_error
from services.clients.graph.code_one import CODE_ONE, CODE_ONE_WAIT, budget_of_request
from services.clients.graph.error_codes import INSTAGRAM_RULES
from services.clients.graph.errors import graph_error, refused_by_status, unreadable
from services.clients.graph.logins import LOGINS, Host
from services.clients.graph.models import Account
from services.clients.graph.usage_headers import usages
from services.clients.guard.guard import NO_ACCOUNT, Guard
from services.clients.http import OK, Bearer, Reply, Transport
from services.clients.retries import Retries
from services.errors import ProviderError, RetryStrategy, TokenInvalidError
from services.redaction import Redaction

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

CheckAnswer = Callable[[Mapping[str, object]], None]
"""Gets an answer, and raises the failure as which it is treated, if any."""

log = logging.getLogger(__name__)


def accept_any(_answer: Mapping[str, object]) -> None:
    """Do nothing with an answer."""


class TokenGate(Protocol):
    """Refuses calls with tokens that Instagram does not accept any more."""

    def check(self, account: Account) -> None:
        """Raise the failure that a call with the token of an account is refused with, if there is any."""

    def failed(self, account: Account, error: ProviderError) -> None:
        """Note that a call failed, perhaps because Instagram does not accept the token."""


class OpenGate:
    """Refuses nothing: for calls that try a token."""

    def check(self, _account: Account) -> None:
        """Do nothing."""

    def failed(self, _account: Account, _error: ProviderError) -> None:
        """Do nothing."""


class GraphReads:
    """Sends the reads of a client; each raises the `ProviderError` of its refusal.

    Reads are repeated where the table of error codes says that it helps, and where no answer came at all. Each try
    passes the guard.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        base_urls: Mapping[str, str],
        auth_in: str,
        version: str,
        app_secret: str,
        retries: Retries,
        redaction: Redaction,
        guard: Guard,
        gate: TokenGate | None = None,
    ) -> None:
        self.version = version
        self._hosts = {name: Host(login, base_urls[name], auth_in) for name, login in LOGINS.items()}
        self._transport = transport
        self._app_secret = app_secret.encode()
        self._retries = retries
        self._redaction = redaction
        self.guard = guard
        self._gate = gate or OpenGate()
        self.served_version: str | None = None
        self._versions_seen = {version}
        self._lock = threading.Lock()

    def get(
        self,
        account: Account,
        path: str,
        params: Mapping[str, str],
        *,
        in_parts: bool | None = None,
        method: str = "GET",
        check: CheckAnswer = accept_any,
    ) -> dict[str, object]:
        """Read a path with an account's token; its id may be `NO_ACCOUNT`.

        Another method is repeated like a read, so it must be one that may be: to subscribe twice is to subscribe once.

        Code 1 may mean a fault that passes, or that the call asks for too much. The first call of a request that gets
        it is made once more. Then the failure is `SHRINK` if the caller can ask for less (`in_parts`), which no circuit
        breaker counts; else it is a fault. After `MAX_CODE_ONE` calls with code 1, a request makes no second call, and
        none of those that may be too much (`in_parts` is not None).

        What `check` raises for an answer is treated as if Instagram had refused the call so.
        """
        self._gate.check(account)
        host, token = self._hosts[account.login], account.token
        url = f"{host.base_url}/{self.version}/{path}"
        if self._app_secret and host.login.is_signed:
            params = {**params, "appsecret_proof": self._proof(token)}
        with_token = {**params, "access_token": token}
        backoff = self._retries.begin()
        budget = budget_of_request()
        while True:
            if not budget.begin(is_optional=in_parts is not None or backoff.has_begun):
                raise provider_error(INSTAGRAM_RULES[1, None], "instagram").unsent(retry_after=CODE_ONE_WAIT)
            in_query = host.in_query
            try:
                with budget.ended(), self.guard.call(account.id) as permit:
                    if not in_query:
                        reply = self._transport.send(method, url, params=params, auth=Bearer(token))
                        # Perhaps it is only the header that is not understood. The second call shares the permit of
                        # the first one, so that the guard does not take that for a refusal of the account's token.
                        in_query = host.may_take_query and self._refuses_token(reply, account)
                    if in_query:
                        reply = self._transport.send(method, url, params=with_token)
                    permit.usages = tuple(usages(reply.headers, account, now=reply.received_at))
                    self._compare_version(reply)
                    answer = self._envelope(reply, account, is_smallest=not in_parts)
                    check(answer)
            except ProviderError as error:
                self._gate.failed(account, error)
                is_worth_it = error.retry_strategy is RetryStrategy.TRY_AGAIN
                if error.retry_strategy in CODE_ONE:
                    is_worth_it = budget.spent == 1 and not backoff.has_begun
                if not is_worth_it or not backoff.wait():
                    raise
            else:
                host.understood(in_query=in_query)
                return answer

    def about_token(self, login: str, path: str, params: Mapping[str, str]) -> dict[str, object]:
        """Read a path about a token, with the credentials among the parameters, as Meta takes them there.

        No account is judged by it: a token that is only tried must not stop the calls with the present one.
        """
        url, backoff = f"{self._hosts[login].base_url}/{path}", self._retries.begin()
        while True:
            try:
                return self._once("GET", url, params=params)
            except ProviderError as error:
                if error.retry_strategy is not RetryStrategy.TRY_AGAIN or not backoff.wait():
                    raise

    def post_form(self, url: str, form: Mapping[str, str]) -> dict[str, object]:
        """Send credentials as a form, once: what it contains may be accepted only once."""
        return self._once("POST", url, params={}, form=form)

    def _once(
        self, method: str, url: str, *, params: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        account = Account(NO_ACCOUNT, "")
        with self.guard.call(NO_ACCOUNT) as permit:
            if form is None:
                reply = self._transport.send(method, url, params=params)
            else:
                reply = self._transport.send(method, url, params=params, headers=FORM, body=urlencode(form).encode())
            permit.usages = tuple(usages(reply.headers, account, now=reply.received_at))
            # A wrong secret is refused with code 1, which must not look like a fault of the provider to the guard.
            return self._envelope(reply, account, is_smallest=False)

    def _refuses_token(self, reply: Reply, account: Account) -> bool:
        try:
            self._envelope(reply, account)
        except TokenInvalidError:
            return True
        except ProviderError:
            return False  # Raised again where the answer is read.
        return False

    def _proof(self, token: str) -> str:
        return hmac.new(self._app_secret, token.encode(), hashlib.sha256).hexdigest()

    def _envelope(self, reply: Reply, account: Account, *, is_smallest: bool = True) -> dict[str, object]:
        try:
            answer = reply.json()
        except ValueError:
            answer = None
        error = _error_of(answer) if isinstance(answer, dict) else None
        if isinstance(error, dict):
            failure = graph_error(error, reply, account=account, redaction=self._redaction)
            if is_smallest and failure.retry_strategy is RetryStrategy.SHRINK:
                failure.retry_strategy = RetryStrategy.ONCE_MORE
            raise failure
        if (refused := refused_by_status(reply, account)) is not None:
            raise refused
        if answer is None:
            raise unreadable(f"HTTP {reply.status} without JSON")
        if not isinstance(answer, dict):
            raise unreadable(f"HTTP {reply.status} with JSON of another shape")
        if error is not None or reply.status != OK:
            raise unreadable(f"HTTP {reply.status} without a readable reason")
        return answer

    def _compare_version(self, reply: Reply) -> None:
        served = reply.headers.get("facebook-api-version")
        with self._lock:
            self.served_version = served or self.served_version
            if served is None or served in self._versions_seen:
                return
            self._versions_seen.add(served)
        log.warning(
            "Instagram serves another version of its API than the requested one",
            extra={"served": served, "requested": self.version},
        )


def _error_of(answer: Mapping[str, object]) -> object:
    """Return the error of an answer, or None; api.instagram.com writes a flat one, whose code is the HTTP status."""
    if "error_message" in answer and "error" not in answer:
        return {"message": answer["error_message"]}
    return answer.get("error")
