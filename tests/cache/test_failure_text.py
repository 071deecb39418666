"""A failure as text: what another process, or a later start, reads out of it."""

from __future__ import annotations

import inspect
import json

import pytest

import app  # noqa: F401  It imports every module with a class of failures.
from services.cache.failure_text import deserialize, serialize
from services.errors import Charge, ProviderError, ProviderErrorDetails, ProviderTimeoutError, RetryStrategy

FAILURE = ProviderTimeoutError(
    "It did not answer.", provider="modash", hint="Try again.", retry_after=3, charge=Charge.NONE
)
# None of them is what a failure has by default.
DETAILS = {
    "provider": "modash",
    "hint": "Try again.",
    "reference": "AbCdEf",
    "retry_after": 3,
    "reached": False,
    "charge": Charge.CHARGED,
    "retry_strategy": RetryStrategy.SPLIT,
    "words": "(#100) No.",
    "cause": "private_account",
    "reason": "not_for_this_media",
    "whole_app": True,
    "wait_reported": True,
}


def with_subclasses(class_):
    return {class_, *(found for each in class_.__subclasses__() for found in with_subclasses(each))}


def details_of(class_):
    """The names of all keyword arguments of a class of failures."""
    own = inspect.signature(class_).parameters.values()
    return {each.name for each in own if each.kind is each.KEYWORD_ONLY} | set(ProviderErrorDetails.__annotations__)


CLASSES = sorted(with_subclasses(ProviderError), key=lambda class_: class_.__name__)


@pytest.mark.parametrize("class_", CLASSES)
def test_each_field_of_a_failure_is_read_as_it_was_written(class_):
    failure = class_("It did not answer.", **{name: DETAILS[name] for name in details_of(class_)})
    usual = class_("", provider=None)

    found = deserialize(serialize(failure))

    assert (type(found), vars(found)) == (class_, vars(failure))
    assert [name for name, value in vars(failure).items() if value == getattr(usual, name)] == []


def test_the_classes_of_all_packages_are_among_them():
    assert {"AlbumChildError", "LedgerUnavailableError", "StoryExpiredError"} <= {each.__name__ for each in CLASSES}


def test_a_failure_of_an_earlier_version_may_have_been_charged():
    fields = json.loads(serialize(FAILURE))
    for name in ("charge", "reason", "reached"):
        del fields[name]
    fields["remedy"] = fields.pop("retry_strategy")

    found = deserialize(json.dumps(fields))

    assert (found.charge, found.retry_strategy) == (Charge.UNKNOWN, FAILURE.retry_strategy)
    assert isinstance(found.retry_strategy, RetryStrategy)
    assert (found.reason, found.reached) == (None, True)
