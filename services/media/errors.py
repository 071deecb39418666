"""Failures that more than one reader of media has."""

from __future__ import annotations

from collections.abc import Collection

from services.errors import Charge, ObjectNotFoundError, ProviderError
from services.media.catalogue import MEDIA_METRICS
from services.media.kept_stories import LAST, USUALLY

WORKER = "if the worker runs: make run, or python -m worker."
READ_LAST = frozenset(LAST) - frozenset(USUALLY)


class StoryExpiredError(ProviderError):
    """The story is over, so that Instagram has no insights of it any more, and none were kept."""

    status = 410
    code = "story_expired"


def no_such_media() -> ObjectNotFoundError:
    """Return the one failure that a caller of some accounts gets for media that are not of these, or nowhere."""
    return ObjectNotFoundError(
        "There is no such media here.",
        provider="instagram",
        hint="Check the id, and name its `account`: without it only media are found that a list has shown before.",
        reached=False,
        charge=Charge.NONE,
    )


def story_expired(metrics: Collection[str] = ()) -> StoryExpiredError:
    """Return that a story is over, and nothing of its insights was kept, or nothing of the requested metrics."""
    names = ", ".join(metrics)
    if metrics and READ_LAST.issuperset(metrics):
        hint = f"{names}: read once or twice in the last half hour of each story, {WORKER}"
    elif metrics and all(MEDIA_METRICS[metric].asked_alone for metric in metrics):
        hint = f"{names}: the worker does not read this; request it while a story lasts, and it is kept."
    else:
        hint = f"Stories are read hourly while they last, {WORKER}"
    return StoryExpiredError(
        "The story is over, and Instagram has no insights of it any more.",
        provider="instagram",
        hint=hint,
        reached=False,
        charge=Charge.NONE,
    )
