"""The kinds of accounts, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

ALL_TYPES = {"POST": 0.34, "REEL": 0.34, "CAROUSEL_CONTAINER": 0.18, "STORY": 0.12, "AD": 0.02}


@dataclass(frozen=True)
class Kind:
    """How accounts of a kind behave; rates are means per day."""

    name: str
    followers: tuple[int, int]  # when they begin
    follows: tuple[float, float]
    loss: float = 0.65  # unfollows for each follow
    bounds: tuple[int, int] = (150, 50_000_000)  # followers never leave these
    posts: float = 1.0
    stories: float = 1.5
    reach: tuple[float, float] = (0.12, 0.3)  # of the followers
    zero_days: float = 0.0
    hidden_likes: float = 0.0  # the share of posts whose likes are hidden
    types: Mapping[str, float] = field(default_factory=lambda: ALL_TYPES)
    withheld_breakdowns: frozenset[str] = frozenset()  # metrics whose breakdowns come without any bucket
    odd_texts: bool = False  # in the name and in the captions
    token_age: float = 5.0  # days; how old the token of an Instagram login is at the start
    converted: date | None = None  # when a personal account became a professional one; earlier media has no insights


KINDS = (
    Kind("ordinary", (1_800, 6_000), (3.5, 9.0), posts=2.0, hidden_likes=0.03),
    Kind("big", (400_000, 2_000_000), (300.0, 900.0), posts=2.5, stories=4.0, hidden_likes=0.01),
    Kind(
        "quiet",
        (300, 900),
        (0.2, 0.4),
        loss=0.9,
        posts=0.05,
        stories=0.1,
        reach=(0.02, 0.05),
        zero_days=0.55,
        withheld_breakdowns=frozenset({"profile_links_taps"}),
    ),
    Kind("small", (40, 80), (0.1, 0.3), loss=0.9, bounds=(20, 90), posts=0.3),
    Kind("hidden_likes", (2_000, 20_000), (4.0, 12.0), hidden_likes=1.0),
    Kind("no_posts", (400, 3_000), (0.5, 1.5), posts=0.0, reach=(0.02, 0.06), types={"STORY": 1.0}),
    Kind("no_followers", (0, 0), (0.0, 0.0), bounds=(0, 0), posts=0.4),
    Kind("prolific", (10_000, 60_000), (20.0, 60.0), posts=6.5, stories=8.0, hidden_likes=0.02),
    Kind("fresh", (0, 0), (40.0, 90.0), loss=0.1, bounds=(0, 50_000_000), posts=1.5),
)

BY_NAME = {kind.name: kind for kind in KINDS}
SMALL_SHOP = ((900, 3_000), (1.0, 4.0))  # followers at the beginning, follows each day

EXTRAS = (  # Present whatever the number of accounts: the names and kinds of accounts that cause trouble.
    ("flood.of.posts", Kind("flood", (20_000, 40_000), (20.0, 60.0), posts=170.0)),  # 5,000 posts each month
    ("ninety_nine", Kind("ninety_nine", (99, 99), (0.5, 1.5), bounds=(99, 99), posts=0.5)),
    ("_.odd_texts._", Kind("odd_texts", *SMALL_SHOP, odd_texts=True)),
    ("1234567890", Kind("digits", *SMALL_SHOP)),
    ("all.likes.hidden", BY_NAME["hidden_likes"]),
    ("never.posted", BY_NAME["no_posts"]),
    ("nobody.follows", BY_NAME["no_followers"]),
    ("nothing.at.all", Kind("nothing", (0, 0), (0.0, 0.0), bounds=(0, 0), posts=0.0, stories=0.0, reach=(0.0, 0.0))),
    ("young.token", Kind("young_token", *SMALL_SHOP, token_age=0.125)),
    ("expiring.token", Kind("expiring_token", *SMALL_SHOP, token_age=55.0)),
    ("expired.token", Kind("expired_token", *SMALL_SHOP, token_age=61.0)),
    ("was.personal", Kind("converted", *SMALL_SHOP, converted=date(2026, 3, 1))),
)
