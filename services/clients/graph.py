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
from services.clients.logins import LOGINS, Host
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
class Account:
    """A professional account that granted us access: its id, the token to read it with, and that token's login."""

    id: str
    token: str = field(repr=False)
    login: str = "facebook"


@dataclass(frozen=True)
class MediaPage:
    """Some posts, newest first; whether there are more; and the cursor to them, if one came."""

    posts: Sequence[Item]
    more: bool
    after: str | None


class GraphClient:
    """Reads graph.facebook.com and graph.instagram.com; every method raises the `ProviderError` of the refusal.

    Reads are repeated where `outcomes` says that it helps, and where no answer came at all; each try passes the gate.
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
        gate: Gate,
    ) -> None:
        self.version = version
        self._hosts = {name: Host(login, base_urls[name], auth_in) for name, login in LOGINS.items()}
        self._transport = transport
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
        fields = f"{LOGINS[account.login].id_field},username,followers_count"
        return self._of(account, "", {"fields": fields})

    def own_account(self, token: str) -> str:
        """Return the id of the professional account that a token of the Instagram login belongs to.

        https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/get-started
        """
        found = self._get("instagram", "me", {"fields": "user_id"}, token=token).get("user_id")
        if not isinstance(found, str | int) or not ID.fullmatch(str(found)):
            raise self._unreadable("an account without an id")
        return str(found)

    def linked_account(self, page_id: str, *, token: str) -> str:
        """Return the id of the professional account that is linked to a page.

        https://developers.facebook.com/docs/graph-api/reference/page
        """
        page = self._get("facebook", quote(page_id), {"fields": "instagram_business_account"}, token=token)
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
        answer = self._of(account, "/media", params, in_parts=limit > 1)
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
        answer = self._of(account, "/insights", params, in_parts=len(metrics) > 1)
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
        answer = self._get("facebook", "debug_token", {"input_token": token}, token=inspector)
        details = answer.get("data")
        if not isinstance(details, dict):
            raise self._unreadable("an answer without data")
        return details

    def _of(
        self, account: Account, edge: str, params: Mapping[str, str], *, in_parts: bool = False
    ) -> dict[str, object]:
        """Read an account or an edge of it."""
        # By the Instagram login a token has one account, whichever of its ids one knows.
        node = "me" if account.login == "instagram" else quote(account.id)
        return self._get(account.login, node + edge, params, token=account.token, account=account.id, in_parts=in_parts)

    def _get(
        self,
        login: str,
        path: str,
        params: Mapping[str, str],
        *,
        token: str,
        account: str = NO_ACCOUNT,
        in_parts: bool = False,
    ) -> dict[str, object]:
        host = self._hosts[login]
        return self._retries.run(
            lambda: self._once(host, path, params, token=token, account=account),
            allowed=lambda error: error.remedy in (TRIED_AGAIN if not in_parts else {Remedy.TRY_AGAIN}),
        )

    def _once(self, host: Host, path: str, params: Mapping[str, str], *, token: str, account: str) -> dict[str, object]:
        """Make one call; where it is unknown whether a header is understood, a refused one is sent in the query."""
        with self.gate.passing(account) as entry:
            in_query = host.in_query
            try:
                answer = self._send(host, path, params, entry, token=token, in_query=in_query)
            except TokenInvalidError:
                if in_query or not host.may_take_query:
                    raise
                in_query = True
                answer = self._send(host, path, params, entry, token=token, in_query=in_query)
        host.understood(in_query=in_query)
        return answer

    def _send(
        self, host: Host, path: str, params: Mapping[str, str], entry: Entry, *, token: str, in_query: bool
    ) -> dict[str, object]:
        url = f"{host.base_url}/{self.version}/{path}"
        added = {"appsecret_proof": self._proof(token)} if self._app_secret and host.login.is_signed else {}
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
