"""A failure as text: how rows of the database carry it to other processes and to a later start."""

from __future__ import annotations

import json
from collections.abc import Iterator

from services.errors import (
    Charge,
    ProviderError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
    RetryStrategy,
)

SERIALIZED = ("message", "provider", "hint", "reference", "retry_after", "words")
ADDED = ("reason", "reached")  # which rows of earlier versions do not have
OF_THROTTLES = ("whole_app", "wait_reported")  # the same


def serialize(error: ProviderError) -> str:
    """Return a failure as JSON, for other processes; it holds no credential, because none of its texts does."""
    fields: dict[str, object] = {name: getattr(error, name) for name in (*SERIALIZED, *_added(type(error)))}
    fields |= {"class": type(error).__name__, "cause": error.code}
    fields |= {"retry_strategy": error.retry_strategy.name, "charge": error.charge.name}
    return json.dumps(fields)


def deserialize(text: str) -> ProviderError:
    """Return the failure that `serialize` wrote; an unknown class becomes a `ProviderUnavailableError`.

    Raises `ValueError` for any other text. Rows of earlier versions hold no `charge` and nothing of `ADDED` and
    `OF_THROTTLES`, and call the retry strategy `remedy`.
    """
    try:
        fields = json.loads(text)
        class_ = {each.__name__: each for each in _classes(ProviderError)}.get(
            fields["class"], ProviderUnavailableError
        )
        strategy = fields["remedy"] if "remedy" in fields else fields["retry_strategy"]
        return class_(
            **{name: fields[name] for name in SERIALIZED},
            **{name: fields[name] for name in _added(class_) if name in fields},
            charge=Charge[fields.get("charge", Charge.UNKNOWN.name)],
            retry_strategy=RetryStrategy[strategy],
            cause=fields["cause"],
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("The text is not a failure.") from error


def _added(class_: type[ProviderError]) -> tuple[str, ...]:
    return (*ADDED, *OF_THROTTLES) if issubclass(class_, ProviderRateLimitedError) else ADDED


def _classes(class_: type[ProviderError]) -> Iterator[type[ProviderError]]:
    yield class_
    for each in class_.__subclasses__():
        yield from _classes(each)
