"""The error rules of both providers, and the document that is generated from them."""

from __future__ import annotations

from commands.provider_errors import DOCUMENT, rules, with_tables
from services.clients.modash.error_codes import MODASH_RULES, MODASH_STATUS_RULES
from services.errors import RetryStrategy


def test_the_document_is_up_to_date():
    document = DOCUMENT.read_text(encoding="utf-8")

    assert with_tables(document) == document, "run `make provider-errors`"


def test_every_rule_has_a_message_and_a_hint():
    for refusal, rule in rules():
        assert rule.message.endswith("."), refusal
        assert rule.hint.endswith("."), refusal
        assert 400 <= rule.error.status < 600, refusal


def test_no_refusal_of_credentials_permissions_or_limits_is_retried():
    for refusal, rule in rules():
        if rule.error.status in {401, 402, 403, 422, 429}:
            assert rule.retry_strategy in {RetryStrategy.STOP, RetryStrategy.NOTHING}, refusal


def test_no_call_that_may_be_charged_is_repeated():
    strategies = {rule.retry_strategy for rule in (*MODASH_RULES.values(), *MODASH_STATUS_RULES.values())}

    assert strategies == {RetryStrategy.NOTHING}


def test_a_throttle_and_a_block_have_a_wait():
    for refusal, rule in rules():
        if rule.error.status in {429, 503}:
            assert rule.wait or rule.error.usual_wait, refusal
