"""Redaction: no known secret stays, and what was paid for is not damaged."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from itertools import product
from urllib.parse import quote, quote_plus

import pytest

import logs
from services import redaction as redaction_module
from services.redaction import MARK, Redaction, cut, one_line

KEY = "modash-key-0123456789"
BODY = {"total": 12345678, "mean": [{"numberOfItems": 6, "value": 123.5}], "text": "1 of 123", "id": "0012345678900"}


@pytest.mark.parametrize("secret", ["1", "123", "12345678", "6", "value", "total", ":", "{", '"', "\\", "0", ".", "e"])
def test_a_short_secret_or_one_of_digits_does_not_damage_content(secret):
    text = json.dumps(BODY, separators=(",", ":"))

    assert Redaction([secret]).content(text) == text
    assert Redaction([secret]).inside(BODY) == BODY


@pytest.mark.parametrize(
    "secret", [KEY, '"quoted"secret', "back\\slash\\secret", "sécret-é-word", "a b&c=d/e?fgh", "123456789012"]
)
def test_a_known_secret_is_removed_from_every_string_of_content(secret):
    body = {secret: [f"key {secret} is wrong", {"deep": secret.upper()}], "number": 123456789012, "kept": "as it is"}

    redacted = json.loads(Redaction([secret]).content(json.dumps(body)))

    assert redacted == {MARK: [f"key {MARK} is wrong", {"deep": MARK}], "number": 123456789012, "kept": "as it is"}
    assert Redaction([secret]).inside(body) == redacted


@pytest.mark.parametrize("depth", [500, 900])
def test_deeply_nested_content_is_redacted(depth):
    text = "[" * depth + json.dumps(KEY) + "]" * depth

    assert Redaction([KEY]).content(text) == "[" * depth + json.dumps(MARK) + "]" * depth


@pytest.mark.parametrize("secret", ["1", "200", "12345678", "level", "a", '"', "\\", "/"])
def test_a_log_line_stays_json_whatever_the_secret_is(secret):
    record = logging.LogRecord("x", logging.INFO, __file__, 0, f'/all \n "of {secret} in 200 words/', None, None)
    record.status, record.count = 200, 12345678

    line = json.loads(logs.JsonFormatter(Redaction([secret])).format(record))

    assert (line["status"], line["count"]) == (200, 12345678)


def test_a_secret_of_digits_or_few_characters_is_removed_from_messages_where_it_stands_alone():
    assert Redaction(["123"])("key 123 is not 1234, nor x123") == f"key {MARK} is not 1234, nor x123"
    assert Redaction([KEY])(f"x{KEY}y") == f"x{MARK}y"


VALUE = "Zq-9_8x7w6-Yp"
NAMES = (
    "access_token",
    "input_token",
    "fb_exchange_token",
    "client_secret",
    "appsecret_proof",
    "app_secret",
    "api_key",
)
TOKENS = [f"{prefix}{VALUE}" for prefix in ("EAA", "IGAA", "IGQ", "igw_", "IGW_", "x_EAA", "access_token=EAA")]
NAMED = [f"{name}{sign}{VALUE}" for name in (*NAMES, "TOKEN") for sign in ("=", ": ", '": "', "%3D")]
BEARERS = [f"Authorization: Bearer {VALUE}", f"bearer {VALUE}"]
BEFORE = ("", "a ", "a\n", "a\t", "\x1b", "%3D", "\\n", "\\x1b", '"')


@pytest.mark.parametrize("credential", [*TOKENS, *NAMED, *BEARERS])
def test_what_looks_like_a_credential_is_removed_wherever_it_stands(credential):
    redaction = Redaction()
    for before, after in product(BEFORE, (" rest", '" rest', "' rest", "\n rest")):
        line = redaction.log_line(json.dumps({"exception": f"{before}{credential}{after}"}, ensure_ascii=False))

        assert VALUE not in line
        assert json.loads(line)["exception"].endswith(f"{MARK}{after}")
        assert VALUE not in redaction(before + credential)
        assert (VALUE not in redaction.reply(before + credential)) is (credential in TOKENS)


@pytest.mark.parametrize("secret", ["a b&c=d/e?fgh~", "sécret-é-word", KEY])
@pytest.mark.parametrize("is_learned", [False, True])
def test_a_known_secret_is_removed_in_each_form_that_it_has_on_its_way(secret, is_learned):
    redaction = Redaction([] if is_learned else [secret])
    redaction.learn(secret if is_learned else "another-secret")
    encoded = [quote(secret, safe=""), quote_plus(secret), b64encode(secret.encode()).decode().rstrip("=")]

    for form in (secret, *encoded, *map(str.lower, encoded[:2]), json.dumps(secret)[1:-1]):
        assert redaction.reply(f"<{form}>") == f"<{MARK}>"


def test_of_learned_secrets_the_longest_is_removed_and_none_hides_behind_the_beginning_of_itself():
    redaction = Redaction()
    for secret in ("secret-word-1", "secret-word-12", "ababab-12"):
        redaction.learn(secret)

    assert redaction("secret-word-12, secret-word-1, abababab-12") == f"{MARK}, {MARK}, ab{MARK}"


def test_of_too_many_learned_secrets_the_one_that_was_learned_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(redaction_module, "MAX_LEARNED", 2)
    redaction = Redaction()
    for secret in ("secret-1-word", "secret-2-word", "secret-1-word", "secret-3-word"):
        redaction.learn(secret)

    shown = redaction("secret-1-word secret-2-word secret-3-word")

    assert shown == f"{MARK} secret-2-word {MARK}"


@pytest.mark.parametrize("letters", ["é ", "", "\u017f", "\u212a "])
def test_case_matters_neither_in_ascii_nor_beside_other_letters(letters):
    redaction = Redaction(["s3cret-Key"])
    for written in ("s3cret-Key", "S3CRET-kEY", "\u017f3cret-\u212aey"):
        assert redaction(f"{letters}{written}") == redaction.known(f"{letters}{written}") == f"{letters}{MARK}"
    for name in ("toKen", "to\u212aen", "app_\u017fecret", "APP_SECRET", "API_key", "api_\u212aEY"):
        assert redaction(f"{letters} {name}={VALUE}") == f"{letters} {name}={MARK}"
    for scheme in ("Bearer ", "bEARER "):
        assert redaction(f"{letters} {scheme}{VALUE}") == f"{letters} {scheme}{MARK}"


@pytest.mark.parametrize("written", ["s3cret-key", "S3CRET-KEY", "\u017f3cret-\u212aey"])
def test_a_secret_beyond_ascii_is_removed_in_a_case_of_ascii_too(written):
    redaction = Redaction(["\u017f3cret-\u212aey"])

    assert redaction(f"key {written}") == redaction.known(f"key {written}") == f"key {MARK}"


# What is cut

FAMILY, FLAG, ACCENTS = (
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f1e9\U0001f1ea",
    "e\u0301\u0323",
)
SCOTLAND, WAVE, KSHI = (
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\U0001f44b\U0001f3fd",
    "\u0915\u094d\u0937\u093f",
)


@pytest.mark.parametrize("grapheme", [FAMILY, FLAG, ACCENTS, SCOTLAND, WAVE, KSHI, "\r\n", "\u1112\u1161\u11ab"])
def test_a_text_is_never_cut_within_what_people_see_as_one_character(grapheme):
    for before in ("", "a", "ab", FLAG):
        for limit in range(len(before) + 2 * len(grapheme) + 3):
            whole = [*([before] if before else []), grapheme, grapheme, "end"]
            text = "".join(whole)

            shown = cut(text, limit)

            assert len(shown) <= limit
            assert text.startswith(shown)
            longest = max((length for length in ends(before, grapheme) if length <= limit), default=0)
            assert len(shown) == (len(text) if len(text) <= limit else longest)


def ends(before, grapheme):
    """The lengths of all beginnings that end with a whole grapheme."""
    first = [0, len(before)] if before == FLAG else range(len(before) + 1)
    start = len(before)
    return [*first, start + len(grapheme), *(start + 2 * len(grapheme) + each for each in range(4))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two\n three", "one two three"),
        ("one two three four five", "one two ..."),
        ("\u6587" * 30, "\u6587" * 11 + " ..."),
        (f"{FLAG * 30}", FLAG * 5 + " ..."),
    ],
)
def test_a_long_line_is_cut_between_words_if_it_has_any(text, expected):
    assert one_line(text, 15) == expected


def test_a_text_that_was_clean_is_looked_at_again_once_a_secret_is_learned():
    redaction = Redaction(["secret-word-1"])
    before = [redaction.is_clean(text) for text in ("17841400000000001", "token-of-an-account", "secret-word-1")]

    redaction.learn("token-of-an-account")

    after = [redaction.is_clean(text) for text in ("17841400000000001", "token-of-an-account", "secret-word-1")]
    assert (before, after) == ([True, True, False], [True, False, False])


def test_a_text_is_not_known_as_clean_if_a_secret_was_learned_while_it_was_looked_at(monkeypatch):
    redaction = Redaction()
    look = redaction.reply

    def look_while_another_thread_learns(text):
        shown = look(text)
        redaction.learn("token-of-an-account")
        return shown

    monkeypatch.setattr(redaction, "reply", look_while_another_thread_learns)
    redaction.is_clean("token-of-an-account")
    monkeypatch.undo()

    assert not redaction.is_clean("token-of-an-account")


@pytest.mark.parametrize("asked_before", [True, False])
def test_some_texts_are_clean_if_each_of_them_is(asked_before):
    redaction = Redaction(["secret-word-1"])
    if asked_before:
        assert redaction.are_clean(["account", "period", "7d"])

    assert redaction.are_clean(["period", "7d", "account"])
    assert not redaction.are_clean(["period", "7d", "account", "secret-word-1"])

    redaction.learn("token-of-an-account")
    assert not redaction.are_clean(["account", "token-of-an-account"])


def test_the_texts_that_are_known_as_clean_have_a_bound():
    redaction = Redaction()

    texts = [f"account-{number}" for number in range(3 * redaction_module.MOST_CLEAN)]

    assert all(map(redaction.is_clean, texts))
    assert redaction.is_clean("x" * 10_000)
    assert len(redaction._clean) <= redaction_module.MOST_CLEAN
    assert "x" * 10_000 not in redaction._clean
