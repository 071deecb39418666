"""Instagram's Graph API, by either login: one method for each call, in the provider's words.

https://developers.facebook.com/docs/instagram-platform/reference
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from services.clients.gate import NO_ACCOUNT, Gate
from services.clients.graph_errors import failure, throttled
from services.clients.http import OK, TOO_MANY, Bearer, Reply, Transport
from services.clients.probe import Entry
from services.clients.retries import Retries
from services.errors import ObjectNotFoundError, ProviderResponseError, Remedy, TokenInvalidError
from services.redaction import Redaction

log = logging.getLogger(__name__)

TRIED_AGAIN = frozenset({Remedy.TRY_AGAIN, Remedy.SHRINK})
ID = re.compile(r"\d{1,30}", re.ASCII)
MEDIA_PAGE = 100  # The largest page seen in production use; the provider may give shorter ones.
MEDIA_FIELDS = (
    "id,caption,comments_count,like_count,media_product_type,media_type,permalink,timestamp"  # All that a list needs.
)

Item = Mapping[str, object]


@dataclass(frozen=True)
class Login:
    """One of the two ways to Instagram's data: its name, and what differs between them on the wire.

    https://developers.facebook.com/docs/instagram-platform/overview
    """

    name: str
    id_field: str  # the professional id: by the Instagram login `id` is another one, scoped to the app
    is_signed: bool  # whether appsecret_proof is known to be accepted


LOGINS: Mapping[str, Login] = {
    "facebook": Login("facebook", "id", is_signed=True),
    "instagram": Login("instagram", "user_id", is_signed=False),
}


@dataclass(frozen=True)
class Account:
    """A professional account that granted us access: its id, and the token to read it with."""

    id: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class MediaPage:
    """Some posts, newest first; whether there are more; and the cursor to them, if one came."""

    posts: Sequence[Item]
    more: bool
    after: str | None


class GraphClient:
    """Reads graph.facebook.com or graph.instagram.com; every method raises the `ProviderError` of the refusal.

    Reads are repeated where `outcomes` says that it helps, and where no answer came at all; each try passes the gate.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        login: Login,
        auth_in: str,
        base_url: str,
        version: str,
        app_secret: str,
        retries: Retries,
        redaction: Redaction,
        gate: Gate,
    ) -> None:
        self.login = login
        self.version = version
        self._in_query = auth_in == "query"
        self._may_change_place = auth_in == "auto" and login.name == "instagram"
        self._transport = transport
        self._base_url = base_url
        self._app_secret = app_secret.encode()
        self._retries = retries
        self._redaction = redaction
        self.gate = gate
        self.served_version: str | None = None
        self._versions_seen = {version}
        self._lock = threading.Lock()

    def profile(self, account: Account) -> Item:
        """Return `username` and `followers_count` of an account; either may be missing.

        https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user
        """
        fields = f"{self.login.id_field},username,followers_count"
        return self._get(self._node(account), {"fields": fields}, token=account.token, account=account.id)

    def own_account(self, token: str) -> str:
        """Return the id of the professional account that a token of the Instagram login belongs to.

        https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/get-started
        """
        found = self._get("me", {"fields": "user_id"}, token=token).get("user_id")
        if not isinstance(found, str | int) or not ID.fullmatch(str(found)):
            raise self._unreadable("an account without an id")
        return str(found)

    def linked_account(self, page_id: str, *, token: str) -> str:
        """Return the id of the professional account that is linked to a page.

        https://developers.facebook.com/docs/graph-api/reference/page
        """
        page = self._get(quote(page_id), {"fields": "instagram_business_account"}, token=token)
        account = page.get("instagram_business_account")
        found = account.get("id") if isinstance(account, dict) else None
        if not isinstance(found, str) or not ID.fullmatch(found):
            raise ObjectNotFoundError(
                "The page has no Instagram account linked to it.",
                provider="instagram",
                hint="Link the account to the page in the Instagram app, then run `make doctor`.",
            )
        return found

    def media_page(self, account: Account, *, after: str | None, limit: int = MEDIA_PAGE) -> MediaPage:
        """Return one page of an account's posts, newest first; stories are never among them.

        The end is the absence of `paging.next`: the last page has a cursor too. `next` itself contains the token and
        is never followed. Where Instagram says that it is too much, it is not asked again for the same: the failure
        has the remedy `SHRINK`, and a smaller `limit` may do.

        https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/media
        """
        params = {"fields": MEDIA_FIELDS, "limit": str(limit)} | ({"after": after} if after else {})
        path = f"{self._node(account)}/media"
        answer = self._get(path, params, token=account.token, account=account.id, in_parts=limit > 1)
        paging = answer.get("paging")
        cursors = paging.get("cursors") if isinstance(paging, dict) else None
        following = cursors.get("after") if isinstance(cursors, dict) else None
        more = isinstance(paging, dict) and paging.get("next") is not None
        return MediaPage(self._items(answer), more, following if isinstance(following, str) else None)

    def account_insights(
        self,
        account: Account,
        metrics: Sequence[str],
        *,
        since: int,
        until: int,
        breakdown: Sequence[str] = (),
        series: bool = False,
    ) -> Mapping[str, Item]:
        """Return what was answered of the metrics, by name: daily values (`series`) or one total for the range.

        `since` and `until` are Unix seconds. A metric may be missing from the answer. Where Instagram says that it is
        too much for it, several metrics are not asked for again together.

        https://developers.facebook.com/docs/instagram-platform/api-reference/instagram-user/insights
        """
        params = {"metric": ",".join(metrics), "period": "day", "since": str(since), "until": str(until)}
        if not series:
            params["metric_type"] = "total_value"
        if breakdown:
            params["breakdown"] = ",".join(breakdown)
        path, in_parts = f"{self._node(account)}/insights", len(metrics) > 1
        answer = self._get(path, params, token=account.token, account=account.id, in_parts=in_parts)
        named: dict[str, Item] = {}
        for item in self._items(answer):
            named.setdefault(str(item.get("name")), item)
        return named

    def can_inspect(self, app_id: str) -> bool:
        """Return whether there is an app token, without which Meta inspects nobody's token but a developer's own."""
        return bool(app_id and self._app_secret)

    def token_details(self, token: str, *, app_id: str) -> Item:
        """Return what Meta knows of a token: `is_valid`, `expires_at`, `scopes` and more.

        https://developers.facebook.com/docs/graph-api/reference/debug_token
        """
        inspector = f"{app_id}|{self._app_secret.decode()}"
        answer = self._get("debug_token", {"input_token": token}, token=inspector)
        details = answer.get("data")
        if not isinstance(details, dict):
            raise self._unreadable("an answer without data")
        return details

    def _get(
        self, path: str, params: Mapping[str, str], *, token: str, account: str = NO_ACCOUNT, in_parts: bool = False
    ) -> dict[str, object]:
        return self._retries.run(
            lambda: self._once(path, params, token=token, account=account),
            allowed=lambda error: error.remedy in (TRIED_AGAIN if not in_parts else {Remedy.TRY_AGAIN}),
        )

    def _node(self, account: Account) -> str:
        # By the Instagram login a token has one account, whichever of its ids one knows.
        return "me" if self.login.name == "instagram" else quote(account.id)

    def _once(self, path: str, params: Mapping[str, str], *, token: str, account: str) -> dict[str, object]:
        """Make one call; where it is unknown whether a header is understood, a refused one is sent in the query."""
        with self.gate.passing(account) as entry:
            try:
                answer = self._send(path, params, entry, token=token, in_query=self._in_query)
            except TokenInvalidError:
                if self._in_query or not self._may_change_place:
                    raise
                answer = self._send(path, params, entry, token=token, in_query=True)
                self._in_query = True
        self._may_change_place = False
        return answer

    def _send(
        self, path: str, params: Mapping[str, str], entry: Entry, *, token: str, in_query: bool
    ) -> dict[str, object]:
        url = f"{self._base_url}/{self.version}/{path}"
        added = {"appsecret_proof": self._proof(token)} if self._app_secret and self.login.is_signed else {}
        if in_query:
            added["access_token"] = token
        reply = self._transport.get(url, params={**params, **added}, auth=None if in_query else Bearer(token))
        entry.headers = reply.headers
        self._compare_version(reply)
        return self._envelope(reply)

    def _proof(self, token: str) -> str:
        return hmac.new(self._app_secret, token.encode(), hashlib.sha256).hexdigest()

    def _envelope(self, reply: Reply) -> dict[str, object]:
        try:
            answer = reply.json()
        except (ValueError, RecursionError):
            answer = None
        if reply.status == TOO_MANY and not (isinstance(answer, dict) and isinstance(answer.get("error"), dict)):
            raise throttled(reply)
        if answer is None:
            raise self._unreadable(f"HTTP {reply.status} without JSON")
        if not isinstance(answer, dict):
            raise self._unreadable(f"HTTP {reply.status} with JSON of another shape")
        error = answer.get("error")
        if isinstance(error, dict):
            raise failure(error, reply, self._redaction)
        if error is not None or reply.status != OK:
            raise self._unreadable(f"HTTP {reply.status} without a readable reason")
        return answer

    def _items(self, answer: Item) -> list[Item]:
        data = answer.get("data")
        if not isinstance(data, list):
            raise self._unreadable("an answer without data")
        return [item for item in data if isinstance(item, dict)]

    def _unreadable(self, what: str) -> ProviderResponseError:
        return ProviderResponseError(
            f"Instagram sends {what}.", provider="instagram", hint="Try again in a minute; its servers may be down."
        )

    def _compare_version(self, reply: Reply) -> None:
        served = reply.headers.get("facebook-api-version")
        with self._lock:
            self.served_version = served or self.served_version
            if served is None or served in self._versions_seen:
                return
            self._versions_seen.add(served)
        log.warning(
            "Instagram serves another version of its API than the one asked for",
            extra={"served": served, "asked": self.version},
        )
