"""What a caller probably meant: the nearest name, the successor of a removed metric, the endpoint that has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher

from services.growth.trends import TITLES
from services.insights.audience import AUDIENCE_METRICS
from services.insights.catalogue import METRICS
from services.media.catalogue import MEDIA_METRICS
from services.redaction import cut
from services.rendering.nearest_name import NEAR, VERY_NEAR, did_you_mean
from services.top_posts import BY_SCORE, RANKINGS

MAX_PATH = 200  # characters; comparing takes time that grows with the product of both lengths
MAX_SHOWN = 60  # characters of what a caller sent that a message repeats
ENDPOINTS: Sequence[tuple[Collection[str], str]] = (
    (AUDIENCE_METRICS, "/audience"),
    (METRICS, "/account-insights"),
    (MEDIA_METRICS, "/api/instagram/insights/{media_id}"),
    (TITLES, "/growth-trends"),
    (RANKINGS, "/top-posts (by)"),
)
"""Which endpoint has which metrics; the first that has one is named."""
SCORED = frozenset({"likes", "comments", "like_count", "comments_count", "engagement"})  # names of what a score counts


def shown(text: str) -> str:
    """Return the beginning of what a caller sent, quoted, as a message repeats it."""
    return repr(cut(text, MAX_SHOWN))


def unknown_parameter(name: str, known: Sequence[str]) -> str:
    """Return what is said of a parameter that an endpoint does not have."""
    return f"{shown(name)} is not a parameter of this endpoint.{did_you_mean(name, known)}"


def which_metric(text: str, accepted: Sequence[str]) -> str:
    """Return what to ask for in place of a metric that an endpoint does not have; empty if that is not known."""
    name = text.strip().lower()
    if name in accepted:
        return f" Did you mean {name}?"
    if BY_SCORE in accepted and name in SCORED:
        return f" Did you mean {BY_SCORE}?"
    for successors in _successors(name):
        if successors and all(each in accepted for each in successors):
            return f" Meta replaced it: ask for {','.join(successors)}."
    if guess := did_you_mean(text, accepted, VERY_NEAR):
        return guess
    endpoint = next((endpoint for names, endpoint in ENDPOINTS if name in names), None)
    return did_you_mean(text, accepted) if endpoint is None else f" {endpoint} has it."


def _successors(name: str) -> Iterator[Sequence[str]]:
    """Yield which metrics answer for a removed one: of an account, and of a media."""
    if name in METRICS and (of_account := METRICS[name].successor) is not None:
        yield (of_account.metric,)
    if name in MEDIA_METRICS and (of_media := MEDIA_METRICS[name].successor) is not None:
        yield of_media.metrics


def nearest_paths(path: str, rules: Sequence[str]) -> str:
    """Return a question for the paths that are nearest to a path that does not exist; empty if none is near.

    `rules` are paths with variable parts in angle brackets. A part that fits a variable is repeated in the answer.
    """
    found: dict[str, None] = {}
    if len(path) > MAX_PATH:
        return ""
    for given in dict.fromkeys((path.rstrip("/"), path)):
        scored = [(_score(given, rule), rule) for rule in rules]
        score, rule = max(scored, default=(0.0, ""), key=lambda each: each[0])
        if score >= NEAR and (filled := _filled(rule, given)) != path:  # It exists: a value within it is wrong.
            found[filled] = None
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _score(path: str, rule: str) -> float:
    """Return how near a path is to a rule, 0 to 1; 0 where a fixed part is another word, or an id is none."""
    given, expected = path.strip().split("/")[1:], rule.split("/")[1:]
    score = 0.0
    for index, part in enumerate(expected):
        value = given[index] if index < len(given) else ""
        if part.startswith("<"):
            if value and part.endswith("_id>") and not value.isdecimal():
                return 0.0
            score += 0.7 if value or index < len(given) else 0.5
        elif index < len(given):
            ratio = SequenceMatcher(None, value.lower(), part).ratio()
            if ratio < NEAR:
                return 0.0
            score += ratio
    return score / max(len(expected), len(given))


def _filled(rule: str, path: str) -> str:
    """Return a rule with the parts of a path in place of its variables, as far as the path has them."""
    given = path.strip().split("/")
    return "/".join(
        (given[index] if index < len(given) and given[index] else f"{{{part[1:-1]}}}") if part.startswith("<") else part
        for index, part in enumerate(rule.split("/"))
    )
