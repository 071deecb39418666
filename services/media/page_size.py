"""How many posts are asked for at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MAX_TOO_MUCH = 2  # times


class PageSize:
    """How many posts to ask for at once: fewer where a page is too much for Instagram, as many as before after it.

    One heavy post must not make hundreds of calls of the rest. A size that was too much twice is not tried again.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Begin with the first of some sizes, the largest; few steps, so that a page that is too much costs few calls.

        The last one is 1.
        """
        self.limit = sizes[0]
        self._sizes = sizes
        self._too_much = Counter[int]()
        self._left: dict[int, int] = {}  # by size, the posts of the page that was too much

    def shrink(self) -> bool:
        """Take the next smaller size; return whether there is one."""
        smaller = [size for size in self._sizes if size < self.limit]
        if smaller:
            self._too_much[self.limit] += 1
            self._left[self.limit] = self.limit
            self.limit = smaller[0]
        return bool(smaller)

    def shrink_below(self, limit: int) -> bool:
        """Take the largest size below a page that was too much; return whether there is one."""
        while self.limit >= limit:
            if not self.shrink():
                return False
        return True

    def passed(self, posts: int) -> None:
        """Note a page that was answered; take a larger size again once the page that was too much is passed."""
        self._left = {size: left - posts for size, left in self._left.items()}
        for size in sorted(self._left):
            if self._left[size] > 0 or self._too_much[size] >= MAX_TOO_MUCH:
                return
            self.limit = size
            del self._left[size]
