"""The counts of a post: likes and comments, and the engagement score that they make."""

from __future__ import annotations

from dataclasses import dataclass


def hidden(what: str) -> str:
    """Return the reason of a count that its owner hides: likes, comments, views, reposts or shares."""
    return f"{what}_hidden"


HIDDEN = (hidden("likes"), hidden("comments"))


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one post; None is unknown, with the reason beside it."""

    likes: int | None
    comments: int | None
    likes_reason: str | None = None
    comments_reason: str | None = None

    @property
    def likes_hidden(self) -> bool:
        """Whether the likes are unknown because the account hides them."""
        return self.likes_reason == hidden("likes")

    @property
    def comments_hidden(self) -> bool:
        """Whether the comments are unknown because the account hides them."""
        return self.comments_reason == hidden("comments")

    @property
    def interactions(self) -> int | None:
        """Likes and comments together, or None if either is unknown."""
        return None if self.likes is None or self.comments is None else self.likes + self.comments

    @property
    def score(self) -> int | None:
        """Likes plus comments by the user's rule; where one of them is unknown, the other counts alone."""
        known = [count for count in (self.likes, self.comments) if count is not None]
        return sum(known) if known else None
