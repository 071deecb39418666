"""Which field of a webhook is applied by what; changes of other fields are kept for a while, and not applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from services.media.kept_stories import KeptStories
from services.store.webhooks import Change
from services.webhooks.application import AccountGoneError, Handler


def handlers_by_field(*, kept_stories: KeptStories, is_gone: Callable[[str], bool]) -> Mapping[str, Handler]:
    """Return the handler of each field; `is_gone` says of an id whether its account is surely not here."""
    return {"story_insights": partial(_apply_if_here, kept_stories.apply_webhook, is_gone)}


def _apply_if_here(handler: Handler, is_gone: Callable[[str], bool], change: Change) -> None:
    """Apply a change of an account that is here.

    Meta goes on delivering of an account that was removed. Kept for ever, that would bring back what was deleted.
    """
    if is_gone(change.account):
        raise AccountGoneError
    handler(change)
