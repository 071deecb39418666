"""The test of media insights: one call that shows whether a token can read them, and if not, why.

A second one is made where the refusal is code 10 in words that do not say what it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from typing_extensions import TypedDict

from services.answers import Origin, Warning_
from services.clients.graph.client import GraphClient
from services.clients.graph.error_codes import PERMISSION_OR_VIEWERS
from services.clients.graph.logins import login_of
from services.clients.graph.models import Account
from services.clients.guard.guard import NO_ACCOUNT
from services.errors import PASSING, ProviderError
from services.media.too_few_viewers import ViewersCheck
from services.media.values import read_item
from services.redaction import Redaction

METRIC = "reach"  # every type of media has it


class InsightsTestMeta(TypedDict):
    """Which provider was asked, and what the caller should know."""

    source: str
    api_version: str | None
    warnings: list[Warning_]


class InsightsTestResult(TypedDict):
    """Whether insights can be read; `works` is null where the call says nothing of that, `reason` says why not."""

    success: Literal[True]
    media_id: str
    works: bool | None
    reason: str | None
    message: str
    hint: str | None
    meta: InsightsTestMeta


class InsightsTest:
    """The test, with a caller's token or with that of the media's account."""

    def __init__(
        self,
        graph: GraphClient,
        viewers: ViewersCheck,
        *,
        account_of: Callable[[str], Account],
        login: str,
        origin: Origin,
    ) -> None:
        """Build the test; `login` is that of tokens that do not show theirs."""
        self._graph = graph
        self._viewers = viewers
        self._account_of = account_of
        self._login = login
        self._origin = origin

    def of(self, media_id: str, *, token: str | None, is_in_query: bool = False) -> InsightsTestResult:
        """Read one number of a media; a caller's token is used for this call and kept nowhere."""
        if token is None:
            account, redact = self._account_of(media_id), Redaction(())
        else:
            account, redact = Account(NO_ACCOUNT, token, login_of(token) or self._login), Redaction((token,))
        warnings: list[Warning_] = []
        if is_in_query:
            message = (
                "A token in a query is written to the logs of proxies and the history of browsers. "
                "Send it in the header X-Instagram-Access-Token."
            )
            warnings.append({"code": "token_in_query", "message": message})
        works: bool | None
        reason, hint = None, None
        try:
            value = read_item(self._graph.media_insights(account, media_id, (METRIC,)).get(METRIC))
        except ProviderError as raised:
            error = self._viewers.settled(account, raised) if token else self._viewers.explained(account, raised)
            works = None if isinstance(error, PASSING) else False
            reason, message, hint = error.code, redact(error.message), error.hint
            if error.reason == PERMISSION_OR_VIEWERS:
                works, reason = None, PERMISSION_OR_VIEWERS
                message = "Either the token may not read insights, or too few people have seen the media."
                hint = "Test a media with more viewers: if that works, the token is all right."
        else:
            works, reason, message = value.value is not None, value.reason, "Instagram gives insights of this media."
            if not works:
                message = "Instagram gives no number for this media."
                hint = "Grant the permission for insights; a new post may need a day."
        return {
            "success": True,
            "media_id": media_id,
            "works": works,
            "reason": reason,
            "message": message,
            "hint": hint,
            "meta": {
                "source": self._origin.source,
                "api_version": self._origin.api_version,
                "warnings": warnings,
            },
        }
