"""A failure as text: what another process, or a later start, reads out of it."""

from __future__ import annotations

import json

from services.cache.failure_text import deserialize, serialize
from services.errors import Charge, ProviderTimeoutError, RetryStrategy

FAILURE = ProviderTimeoutError(
    "It did not answer.", provider="modash", hint="Try again.", retry_after=3, charge=Charge.NONE
)


def test_a_failure_is_read_as_it_was_written():
    found = deserialize(serialize(FAILURE))

    assert type(found) is ProviderTimeoutError
    assert [getattr(found, name) for name in ("message", "provider", "hint", "retry_after", "charge", "code")] == [
        getattr(FAILURE, name) for name in ("message", "provider", "hint", "retry_after", "charge", "code")
    ]


def test_a_failure_of_an_earlier_version_may_have_been_charged():
    fields = json.loads(serialize(FAILURE))
    del fields["charge"]
    fields["remedy"] = fields.pop("retry_strategy")

    found = deserialize(json.dumps(fields))

    assert (found.charge, found.retry_strategy) == (Charge.UNKNOWN, FAILURE.retry_strategy)
    assert isinstance(found.retry_strategy, RetryStrategy)
