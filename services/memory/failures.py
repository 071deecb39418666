"""A provider's failure as text, so that whoever waited for a call in another process is told the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

from services.errors import ProviderError, ProviderUnavailableError, Remedy

FIELDS = ("message", "provider", "hint", "reference", "retry_after", "words")


def as_text(error: ProviderError) -> str:
    """Write a failure; it holds no credential, for none of its texts does."""
    told = {name: getattr(error, name) for name in FIELDS}
    return json.dumps(told | {"class": type(error).__name__, "remedy": error.remedy.name, "cause": error.code})


def from_text(text: str) -> ProviderError:
    """Read a failure that `as_text` wrote; one of a newer version becomes a fault of the provider."""
    told = json.loads(text)
    class_ = {each.__name__: each for each in _classes(ProviderError)}.get(told["class"], ProviderUnavailableError)
    known = {name: told[name] for name in FIELDS}
    return class_(**known, remedy=Remedy[told["remedy"]], cause=told["cause"])


def _classes(class_: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield class_
    for each in class_.__subclasses__():
        yield from _classes(each)
