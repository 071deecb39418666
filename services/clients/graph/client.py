"""Instagram's Graph API, by either login: one method for each call, in the provider's words.

https://developers.facebook.com/docs/instagram-platform/reference
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from services.clients.graph.errors import unreadable
from services.clients.graph.lists import by_name, insights_field, is_list, list_of, page_of, page_params
from services.clients.graph.logins import LOGINS
from services.clients.graph.models import (
    COLLABORATIVE_FIELDS,
    MEDIA_FIELDS,
    MEDIA_PAGE,
    PROFILE_FIELDS,
    Account,
    Item,
    JointAnswer,
    MediaPage,
    id_of,
    token_of_page,
)
from services.clients.graph.reads import CheckAnswer, GraphReads, accept_any
from services.clients.guard.guard import NO_ACCOUNT
from services.errors import ObjectNotFoundError

NOTHING: Item = {}
STORY: Item = {"media_product_type": "STORY"}  # which lists of stories do not say

OnListed = Callable[[Account, Sequence[Item]], None]
"""Gets an account and media that Instagram lists as its own."""


Begin = Callable[[Callable[[], None]], None]
"""Gets work that may be done beside what follows."""


def do_with_next(work: Callable[[], None], page: MediaPage | None, begin: Begin | None) -> None:
    """Do work, or hand it to `begin` where the call for another page follows."""
    if begin is not None and page is not None and page.more:
        begin(work)
    else:
        work()


def ignore_listed(_account: Account, _media: Sequence[Item]) -> None:
    """Do nothing with media that are listed."""


class GraphClient:
    """Reads graph.facebook.com and graph.instagram.com; every method raises the `ProviderError` of the refusal."""

    def __init__(self, reads: GraphReads, *, on_listed: OnListed = ignore_listed) -> None:
        """Build a client; `on_listed` gets the media of each list that is read of their own account."""
        self.version = reads.version
        self.guard = reads.guard
        self._on_listed = on_listed
        self._reads = reads

    @property
    def served_version(self) -> str | None:
        """The version that Instagram served last, or None before its first answer."""
        return self._reads.served_version

    def profile(self, account: Account, *, again: bool = False) -> Item:
        """Return the profile of an account: its `username` and counts, each of which may be missing.

        `again` says that a larger call for them has failed, so that this one counts among the further calls that code 1
        may cost a request.

        https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user
        """
        fields = f"{LOGINS[account.login].id_field},{PROFILE_FIELDS}"
        return self._reads.get(account, _node(account), {"fields": fields}, in_parts=False if again else None)

    def own_account(self, token: str) -> str:
        """Return the id of the professional account that a token of the Instagram login belongs to.

        https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/get-started
        """
        answer = self._reads.get(Account(NO_ACCOUNT, token, "instagram"), "me", {"fields": "user_id"})
        if (found := id_of(answer.get("user_id"))) is None:
            raise unreadable("an account without an id")
        return found

    def linked_account(self, page_id: str, *, token: str) -> str:
        """Return the id of the professional account that is linked to a page.

        https://developers.facebook.com/docs/graph-api/reference/page
        """
        fields = {"fields": "instagram_business_account"}
        page = self._reads.get(Account(NO_ACCOUNT, token, "facebook"), quote(page_id), fields)
        account = page.get("instagram_business_account")
        found = id_of(account.get("id")) if isinstance(account, dict) else None
        if found is None:
            raise ObjectNotFoundError(
                "The page has no Instagram account linked to it.",
                provider="instagram",
                hint="Link the account to the page in the Instagram app, then run `make doctor`.",
            )
        return found

    def page_of(self, account: Account) -> str:
        """Return the id of the page that is linked to an account, among those that the user of its token manages.

        https://developers.facebook.com/docs/graph-api/reference/user/accounts
        """
        fields = {"fields": "id,instagram_business_account", "limit": "100"}
        for page in list_of(self._reads.get(account, "me/accounts", fields)):
            if not isinstance(page, dict):
                continue
            linked, page_id = page.get("instagram_business_account"), id_of(page.get("id"))
            if isinstance(linked, dict) and id_of(linked.get("id")) == account.id and page_id is not None:
                return page_id
        raise ObjectNotFoundError(
            "The page of the account is not among the first 100 that the token shows.",
            provider="instagram",
            hint="Set PAGE_ID, or add the account again with --page-id.",
        )

    def page_token(self, page_id: str, *, token: str) -> str:
        """Return the token of a page, which the token of one of its users shows.

        https://developers.facebook.com/docs/facebook-login/guides/access-tokens#pagetokens
        """
        found = self._reads.get(Account(NO_ACCOUNT, token, "facebook"), quote(page_id), {"fields": "access_token"})
        return token_of_page(found.get("access_token"), token)

    def subscribed_apps(self, account: Account) -> dict[str, Sequence[str]]:
        """Return the fields to which apps are subscribed, by the id of the app; `account` is as for `subscribe`.

        https://developers.facebook.com/docs/graph-api/reference/page/subscribed_apps
        """
        found: dict[str, Sequence[str]] = {}
        for app in list_of(self._reads.get(account, f"{_subscribable(account)}/subscribed_apps", {})):
            if isinstance(app, dict) and isinstance(app.get("id"), str | int):
                fields = app.get("subscribed_fields")
                found[str(app["id"])] = [str(each) for each in fields] if isinstance(fields, list) else []
        return found

    def subscribe(self, account: Account, fields: Sequence[str]) -> None:
        """Subscribe the app to changes of an account; of the login with Facebook: to those of its page.

        The fields of a page are others than Instagram's, which are chosen in the app's dashboard. For the login with
        Facebook `token` and `page_id` of the account must be those of the page.

        https://developers.facebook.com/docs/graph-api/reference/page/subscribed_apps
        """
        params = {"subscribed_fields": ",".join(fields)}
        answer = self._reads.get(account, f"{_subscribable(account)}/subscribed_apps", params, method="POST")
        if answer.get("success") is not True:
            raise unreadable("no success")

    def media_page(
        self, account: Account, *, after: str | None, limit: int = MEDIA_PAGE, begin: Begin | None = None
    ) -> MediaPage:
        """Return one page of an account's posts, newest first; stories are never among them.

        The end is the absence of `paging.next`: the last page has a cursor too. `next` itself contains the token and
        is never followed. Where the failure has the retry strategy `SHRINK`, a smaller `limit` may be answered. Where
        there are more pages, `begin` gets the work of noting the media of this one, if it is given.

        https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/media
        """
        params = page_params(MEDIA_FIELDS, limit=limit, after=after)
        answer = self._reads.get(account, f"{_node(account)}/media", params, in_parts=limit > 1)
        return self._listed(account, answer, begin=begin)

    def collaborative_page(self, account: Account, *, after: str | None, limit: int) -> MediaPage:
        """Return one page of others' posts on which the account is an accepted collaborator, as `media_page`.

        Only the Facebook login has them. They have no insights; those belong to the owner.

        https://developers.facebook.com/docs/instagram-platform/changelog
        """
        params = page_params(COLLABORATIVE_FIELDS, limit=limit, after=after)
        return page_of(self._reads.get(account, f"{_node(account)}/collaborative_media", params, in_parts=limit > 1))

    def profile_and_media(
        self, account: Account, *, limit: int, begin: Begin | None = None
    ) -> tuple[Item, MediaPage | None]:
        """Return the profile and the first page of posts, in one call; None where the answer has no list of posts.

        `begin` is that of `media_page`.

        https://developers.facebook.com/docs/graph-api/guides/field-expansion
        """
        fields = f"{LOGINS[account.login].id_field},{PROFILE_FIELDS},media.limit({limit}){{{MEDIA_FIELDS}}}"
        answer = self._reads.get(account, _node(account), {"fields": fields}, in_parts=True)
        media = answer.get("media")
        return answer, self._listed(account, media, begin=begin) if is_list(media) else None

    def look(
        self,
        account: Account,
        *,
        limit: int,
        with_profile: bool = False,
        metrics: Sequence[str] = (),
        as_totals: bool = False,
        story_fields: Sequence[str] = (),
    ) -> JointAnswer:
        """Return the first page of posts and of live stories, in one call.

        The profile comes along `with_profile`, the posts' insights as in `media_page_with_insights`. Without
        `story_fields` only the id of one story comes, which shows that there are any. A page that is refused refuses
        the call as a whole.

        https://developers.facebook.com/docs/graph-api/guides/field-expansion
        """
        listed = ",".join([MEDIA_FIELDS, *([insights_field(metrics, as_totals=as_totals)] if metrics else [])])
        own = [PROFILE_FIELDS] if with_profile else []
        story_list = f"stories.limit({limit}){{{','.join(story_fields)}}}" if story_fields else "stories.limit(1){id}"
        fields = ",".join([LOGINS[account.login].id_field, *own, f"media.limit({limit}){{{listed}}}", story_list])
        answer = self._reads.get(account, _node(account), {"fields": fields}, in_parts=True)
        media, stories = answer.get("media"), answer.get("stories")
        posts = self._listed(account, media) if is_list(media) else None
        live = self._listed(account, stories, STORY if story_fields else None) if is_list(stories) else None
        return JointAnswer(answer, posts, live)

    def stories_page(
        self,
        account: Account,
        metrics: Sequence[str],
        *,
        fields: Sequence[str],
        breakdown: str | None = None,
        after: str | None,
        limit: int,
        as_totals: bool = False,
    ) -> MediaPage:
        """Return one page of an account's live stories (those of the last 24 hours), as `media_page_with_insights`.

        https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/stories
        """
        expansion = [insights_field(metrics, breakdown=breakdown, as_totals=as_totals)] if metrics else []
        params = page_params(",".join([*fields, *expansion]), limit=limit, after=after)
        answer = self._reads.get(account, f"{_node(account)}/stories", params, in_parts=True)
        return self._listed(account, answer, STORY)

    def media_page_with_insights(
        self,
        account: Account,
        metrics: Sequence[str],
        *,
        after: str | None,
        limit: int,
        as_totals: bool = False,
        in_full: bool = False,
    ) -> MediaPage:
        """Return one page of an account's posts with their insights; no metric, no insights.

        They come without any other field, or `in_full` with those of `media_page`. One post that has no insights, or
        not all of the metrics, has the whole page refused. Pages, their end and `SHRINK` are as in `media_page`,
        `as_totals` as in `media_insights`.

        https://developers.facebook.com/docs/graph-api/guides/field-expansion
        """
        expansion = [insights_field(metrics, as_totals=as_totals)] if metrics else []
        fields = ",".join([MEDIA_FIELDS if in_full else "id,timestamp", *expansion])
        params = page_params(fields, limit=limit, after=after)
        answer = self._reads.get(account, f"{_node(account)}/media", params, in_parts=limit > 1)
        return self._listed(account, answer) if in_full else page_of(answer)

    def media(self, account: Account, media_id: str, fields: Sequence[str], *, check: CheckAnswer = accept_any) -> Item:
        """Return fields of one media: a post, a story or a picture of an album. Fields without a value are missing.

        What `check` raises for an answer is treated as if Instagram had refused the call so.

        https://developers.facebook.com/docs/instagram-platform/reference/instagram-media
        """
        return self._reads.get(account, quote(media_id), {"fields": ",".join(fields)}, check=check)

    def media_insights(
        self,
        account: Account,
        media_id: str,
        metrics: Sequence[str],
        *,
        breakdown: str | None = None,
        as_total: bool = False,
    ) -> Mapping[str, Item]:
        """Return what was answered of the metrics of one media, by name; a metric may be missing from the answer.

        Metrics with a breakdown share no call with others: Instagram refuses both. If there are several metrics, the
        failure may have the retry strategy `SHRINK`. `as_total` adds the metric type that some metrics were seen to
        need although no page of Meta says so.

        https://developers.facebook.com/docs/instagram-platform/reference/instagram-media/insights
        """
        params = {"metric": ",".join(metrics)} | ({"breakdown": breakdown} if breakdown else {})
        params |= {"metric_type": "total_value"} if as_total else {}
        answer = self._reads.get(account, f"{quote(media_id)}/insights", params, in_parts=len(metrics) > 1)
        return by_name(answer)

    def account_insights(
        self,
        account: Account,
        metrics: Sequence[str],
        *,
        since: int,
        until: int,
        breakdown: Sequence[str] = (),
        series: bool = False,
        in_parts: bool = False,
    ) -> Mapping[str, Item]:
        """Return what was answered of the metrics, by name: daily values (`series`) or one total for the range.

        `since` and `until` are Unix seconds. A metric may be missing from the answer. `in_parts` says that the caller
        can ask for less at once; then the failure may have the retry strategy `SHRINK`.

        https://developers.facebook.com/docs/instagram-platform/api-reference/instagram-user/insights
        """
        params = {"metric": ",".join(metrics), "period": "day", "since": str(since), "until": str(until)}
        if not series:
            params["metric_type"] = "total_value"
        if breakdown:
            params["breakdown"] = ",".join(breakdown)
        answer = self._reads.get(account, f"{_node(account)}/insights", params, in_parts=in_parts)
        return by_name(answer)

    def audience_insights(
        self,
        account: Account,
        metrics: Sequence[str],
        *,
        breakdown: str | None = None,
        timeframe: str | None = None,
        since: int | None = None,
        until: int | None = None,
        in_parts: bool = False,
    ) -> Mapping[str, Item]:
        """Return what was answered of the metrics, by name, that describe an account's audience (period `lifetime`).

        Demographics come by a `breakdown` over a `timeframe`, followers online by day between `since` and `until`.

        https://developers.facebook.com/docs/instagram-platform/api-reference/instagram-user/insights
        """
        params = {"metric": ",".join(metrics), "period": "lifetime"}
        if breakdown is not None:
            params |= {"metric_type": "total_value", "breakdown": breakdown}
        given = {"timeframe": timeframe, "since": since, "until": until}
        params |= {name: str(value) for name, value in given.items() if value is not None}
        answer = self._reads.get(account, f"{_node(account)}/insights", params, in_parts=in_parts)
        return by_name(answer)

    def _listed(
        self, account: Account, answer: Item, known: Item | None = NOTHING, *, begin: Begin | None = None
    ) -> MediaPage:
        """Return a page whose media are noted with what is `known` of them, but not where that is None."""
        page = page_of(answer)
        if known is not None:
            media = [{**known, **each} for each in page.posts]
            do_with_next(partial(self._on_listed, account, media), page, begin)
        return page


def _node(account: Account) -> str:
    """Return the path of an account. By the Instagram login a token has one account, whose id need not be known."""
    return "me" if account.login == "instagram" else quote(account.id)


def _subscribable(account: Account) -> str:
    """Return the path of what an app is subscribed to: a page, or the account of a token of the Instagram login."""
    return "me" if account.login == "instagram" else quote(account.page_id)
