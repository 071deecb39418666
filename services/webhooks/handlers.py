"""Which field of a webhook is applied by what; changes of other fields are kept for a while, and not applied."""

from __future__ import annotations

from collections.abc import Mapping

from services.media.kept_stories import KeptStories
from services.webhooks.application import Handler


def handlers_by_field(*, kept_stories: KeptStories) -> Mapping[str, Handler]:
    """Return the handler of each field."""
    return {"story_insights": kept_stories.apply_webhook}
