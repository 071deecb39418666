"""Which account a media belongs to, for requests that name none: from what is known here, without a call."""

from __future__ import annotations

from contextlib import suppress

from services import request_context
from services.accounts.resolver import AccountResolver
from services.clients.graph.models import Account
from services.media.index import MediaIndex
from services.store.database import DatabaseUnavailableError
from services.store.posts import PostTable
from services.store.stories import Stories


class MediaOwners:
    """Finds the account of a media: post, reel or story, in one order for every endpoint."""

    def __init__(self, index: MediaIndex, accounts: AccountResolver, stories: Stories, posts: PostTable) -> None:
        self._index = index
        self._accounts = accounts
        self._stories = stories
        self._posts = posts

    def owner(self, media_id: str) -> str | None:
        """Return the id of the account that a media belongs to, of those that the caller may see.

        That is the account whose list has shown it; else, as after an import, the one for which it is kept: as a story,
        or as a post. None where that is none or several of those here, and where the database is unavailable. Raises
        `BusyError` where it is not known which accounts are here.
        """
        if (known := self._index.find(media_id)) is not None:
            return known.account
        with suppress(DatabaseUnavailableError):
            if (owner := self._only(self._stories.owners(media_id))) is not None:
                return owner
            return self._only(self._posts.owners(media_id, self._accounts.known_ids()))
        return None

    def account_of(self, media_id: str, account: str | None = None) -> Account:
        """Return the named account, else the one that a media belongs to, else the only one that there is.

        Raises as `AccountResolver.find` and `owner_of`.
        """
        return self._accounts.owner_of(self.owner(media_id)) if account is None else self._accounts.find(account)

    def _only(self, owners: list[str]) -> str | None:
        seen = list(filter(request_context.caller().sees, owners))
        if len(seen) > 1:
            seen = list(self._accounts.known_ids().intersection(seen))
        return seen[0] if len(seen) == 1 else None
