"""The diagnosis of each reason for which Meta may refuse a token: its code, its step, and its place in the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.accounts.diagnosis import LOG_IN, UNCLEAR, UNKNOWN_TOKEN, of_refused_token
from services.clients.error_mapping import provider_error
from services.clients.graph.error_codes import INSTAGRAM_RULES, NO_TOKEN, WITH_OWN_STEP
from services.errors import TokenExpiredError, TokenInvalidError

SET_UP = Path(__file__).parents[2] / "docs/set-up.md"
RULES = {
    rule.reason: rule
    for rule in (*INSTAGRAM_RULES.values(), NO_TOKEN)
    if issubclass(rule.error, TokenInvalidError | TokenExpiredError)
}


def code_of(reason):
    [code] = of_refused_token("facebook", provider_error(RULES[reason], "instagram")).codes
    return code


@pytest.fixture(scope="module")
def documented():
    """The codes of a refused token in the table of causes; `token_...` stands before the rest of several."""
    table = SET_UP.read_text(encoding="utf-8").partition("## When an account cannot be connected")[2]
    causes = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    [rest] = [cause.partition("(")[2] for cause in causes if "`token_...`" in cause]
    return {f"token_{each}" for each in re.findall(r"`(\w+)`", rest)}, set(re.findall(r"`(\w+)`", "".join(causes)))


def test_every_refusal_of_a_token_has_a_reason():
    assert len(RULES) > 5
    assert None not in RULES


@pytest.mark.parametrize("reason", sorted(RULES))
@pytest.mark.parametrize("login", ["facebook", "instagram"])
def test_only_what_has_a_step_of_its_own_needs_more_than_a_new_token(reason, login):
    found = of_refused_token(login, provider_error(RULES[reason], "instagram"))

    needs_more = found.next_step != f"{LOG_IN[login]}."
    assert needs_more == (reason in WITH_OWN_STEP)
    assert LOG_IN[login] in found.next_step


def test_the_document_names_every_refusal_of_a_token_and_no_other(documented):
    of_tokens, all_causes = documented
    codes = {code_of(reason) for reason in RULES}

    assert codes - all_causes - of_tokens == set()
    assert of_tokens == {code for code in codes if code.startswith("token_")}


def test_what_is_compared_with_a_reason_is_one():
    assert RULES.keys() >= UNCLEAR
    assert {code_of(reason) for reason in RULES} >= UNKNOWN_TOKEN
