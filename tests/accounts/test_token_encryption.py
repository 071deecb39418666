"""Tokens at rest: encrypted with the first key, opened with any, never in a log line afterwards."""

from __future__ import annotations

import pytest

from config import Config, ConfigError
from services.accounts.token_encryption import TokenEncryption, new_key
from services.errors import ProviderNotConfiguredError
from services.redaction import MARK, MAX_LEARNED, Redaction

STEPS = ("seal", "open")
TOKEN = "secretOFanADDEDaccount0123456789"


@pytest.fixture
def redaction():
    return Redaction(["a-secret-of-the-settings"])


def token_encryption(*keys, redaction=None):
    return TokenEncryption(keys, learn=(redaction or Redaction()).learn)


def test_what_is_sealed_is_opened_and_does_not_show_the_token():
    own = token_encryption(new_key())

    sealed = own.seal(TOKEN)

    assert TOKEN.encode() not in sealed
    assert own.open(sealed) == TOKEN
    assert own.seal(TOKEN) != sealed


def test_an_older_key_still_opens_and_the_first_one_encrypts():
    old, new = new_key(), new_key()
    sealed = token_encryption(old).seal(TOKEN)
    both = token_encryption(new, old)

    rotated = both.rotated(sealed)

    assert both.open(sealed) == token_encryption(new).open(rotated) == TOKEN
    with pytest.raises(ProviderNotConfiguredError):
        token_encryption(old).open(rotated)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_only_keys_beside_the_first_one_are_old(number):
    assert token_encryption(*(new_key() for _ in range(number))).has_old_keys is (number > 1)


@pytest.mark.parametrize("keys", [(), (new_key(),)])
def test_without_the_right_key_the_setting_is_named(keys):
    sealed = token_encryption(new_key()).seal(TOKEN)

    with pytest.raises(ProviderNotConfiguredError) as caught:
        token_encryption(*keys).open(sealed)

    assert "TOKEN_KEY" in f"{caught.value.message} {caught.value.hint}"


def test_no_key_is_shown():
    key = new_key()

    assert key not in repr(token_encryption(key))
    assert key not in repr(Config(token_key=key, modash_api_key="x"))
    assert key in Config(token_key=key, modash_api_key="x").secrets


@pytest.mark.parametrize("text", ["short", "a" * 44, f"{new_key()}, short"], ids=["short", "no base64", "second short"])
def test_a_key_of_the_wrong_form_stops_the_start_without_being_shown(text):
    with pytest.raises(ConfigError, match="TOKEN_KEY has the wrong form") as caught:
        Config(token_key=text)

    assert text not in str(caught.value)


def test_with_a_key_it_is_live_although_the_settings_have_no_account():
    config = Config(token_key=new_key())

    assert (config.sandbox, config.instagram_configured) == (False, False)


# What was opened is known to be secret


@pytest.mark.parametrize("step", STEPS)
def test_what_the_vault_has_seen_is_taken_out_of_every_text(redaction, step):
    key = new_key()
    sealing, opening = (token_encryption(key, redaction=redaction if each == step else None) for each in STEPS)
    opening.open(sealing.seal(TOKEN))

    for redact in (redaction, redaction.known):
        assert redact(f"a {TOKEN}, {TOKEN.lower()}b and c2VjcmV0") == f"a {MARK}, {MARK}b and c2VjcmV0"


def test_secrets_are_found_beside_each_other_and_within_words_that_begin_alike(redaction):
    redaction.learn("EAAone111")
    redaction.learn("EAAone1112222")
    redaction.learn("E/A one?")

    assert redaction.known("EAAonEAAone111xEAAone1112222EAAone112") == f"EAAon{MARK}x{MARK}EAAone112"
    assert redaction.known("?q=E%2FA%20one%3F&r=E%2FA+one%3F") == f"?q={MARK}&r={MARK}"


def test_the_oldest_is_forgotten_where_there_are_too_many(monkeypatch, redaction):
    monkeypatch.setattr("services.redaction.MAX_LEARNED", 3)
    for number in range(4):
        redaction.learn(f"secret-number-{number}")

    assert redaction.known("secret-number-0 secret-number-3") == f"secret-number-0 {MARK}"
    assert MAX_LEARNED >= 1_000
