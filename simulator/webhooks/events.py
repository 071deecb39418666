"""What happens to accounts: the last values of their stories, comments, mentions, and fields that nothing documents.

https://developers.facebook.com/docs/instagram-platform/webhooks
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from simulator.switches import Switches
from simulator.webhooks.changes import Change
from simulator.world.accounts import Account
from simulator.world.captions import PHRASES
from simulator.world.days import HOUR
from simulator.world.draw import Draw, digits, draw
from simulator.world.posts import posts_of
from simulator.world.stories import LIFE, Story, stories_of

FEWEST, HIDDEN = 5, -1  # A value below the first is replaced by the second.
AFTER_EXPIRY = (0.8 * HOUR, 1.2 * HOUR)  # when the last values of a story come

# Each name in deliveries, and what the insights of a media call it today.
OLD_COUNTS = {
    "impressions": "views",
    "reach": "reach",
    "taps_forward": "tap_forward",
    "taps_back": "tap_back",
    "exits": "tap_exit",
    "replies": "replies",
}
NEW_COUNTS = {"views": "views", "navigation": "navigation"}
NEITHER_OLD_NOR_NEW = {"reach": "reach", "replies": "replies"}
NAMES: Mapping[str, Mapping[str, str]] = {
    "old": OLD_COUNTS,
    "both": OLD_COUNTS | NEW_COUNTS,
    "new": NEITHER_OLD_NOR_NEW | NEW_COUNTS,
}


def story_value(story: Story, switches: Switches) -> dict[str, Any]:
    """Return the last values of a story as a delivery has them."""
    counts = story.counts(story.expires)
    keeps_zero = switches["webhook_zeros"] == "kept"
    values = {name: counts[count] for name, count in NAMES[switches["webhook_story_counts"]].items()}
    hidden = {name for name, value in values.items() if value < FEWEST and not (keeps_zero and value == 0)}
    return {"media_id": story.id, **{name: HIDDEN if name in hidden else value for name, value in values.items()}}


def story_change(story: Story, switches: Switches) -> Change:
    """Return the change that brings the last values of a story, about an hour after its end."""
    return Change(story.account.id, "story_insights", story_value(story, switches), due_at(story))


def due_at(story: Story) -> int:
    """Return when the last values of a story are delivered."""
    return story.expires + round(draw("story webhook", story.account.seed, story.id).uniform(*AFTER_EXPIRY))


def stories_due(account: Account, after: float, until: float) -> Iterator[Story]:
    """Return the stories whose last values are due in a range, without its first moment."""
    stories = stories_of(account)
    earliest, latest = AFTER_EXPIRY
    first, last = stories.published(after - LIFE - latest - 1), stories.published(until - LIFE - earliest + 1)
    found = (stories.numbered(number) for number in range(first, last))
    return (story for story in found if after < due_at(story) <= until)


def invented(account: Account, field: str, number: int, now: float) -> Change:
    """Return a change of a field, another one for each number; an unknown field gets a value of an unknown shape."""
    chance = draw("change", account.seed, account.index, field, number)
    value = INVENTED.get(field, _unknown)(account, number, now, chance)
    return Change(account.id, field, value, int(now) - chance.randint(0, 300))


def _comment(account: Account, number: int, now: float, chance: Draw) -> dict[str, Any]:
    commenter = digits(10, "commenter", account.seed, chance.randint(1, 50))
    comment = {
        "id": _comment_id(account, number),
        "text": f"{chance.choice(PHRASES)} #{number}",
        "from": {"id": f"17841{commenter}0", "username": f"reader.{commenter[:4]}"},
        "media": _media(account, now, chance),
    }
    return comment | ({"parent_id": _comment_id(account, number - 1)} if number and chance.chance(0.2) else {})


def _mention(account: Account, number: int, _: float, chance: Draw) -> dict[str, Any]:
    mention = {"media_id": f"179{digits(14, 'mention', account.seed, account.index, number)}"}
    return mention | ({"comment_id": _comment_id(account, number)} if chance.chance(0.5) else {})


def _unknown(account: Account, number: int, _: float, chance: Draw) -> dict[str, Any]:
    return {"number": number, "text": chance.choice(PHRASES), "deep": [{"er": [None, True, 1.5]}], "of": account.id}


def _media(account: Account, now: float, chance: Draw) -> dict[str, str]:
    posts = posts_of(account)
    published = posts.published(now)
    if not published:
        return {"id": f"178{digits(14, 'no post', account.index)}", "media_product_type": "FEED"}
    post = posts.numbered(published - 1 - chance.randrange(min(published, 50)))
    return {"id": post.id, "media_product_type": post.media_product_type}


def _comment_id(account: Account, number: int) -> str:
    return f"178{digits(14, 'comment', account.seed, account.index, number)}"


INVENTED: Mapping[str, Callable[[Account, int, float, Draw], dict[str, Any]]] = {
    "comments": _comment,
    "live_comments": _comment,
    "mentions": _mention,
}
