"""Text that leaves the process: without credentials (redaction), and cut between the characters that people see."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import regex

MARK = "[redacted]"
KEY_PREFIX = "igw_"  # of API keys, by which they are found in any text
MIN_LENGTH = 8  # characters; a shorter secret is in ordinary texts and numbers by chance
PREFIX_LENGTH = 6  # characters by which a learned secret is found; tokens of one app begin alike
MAX_LEARNED = 10_000
MOST_CLEAN, MAX_CLEAN = 2_000, 100  # texts that are known to have no credential, and characters of one
# A word boundary, or what `\b` does not take for one: an escape of a URL, of JSON (in which log lines are looked at; it
# writes a line break with an n) or of a `repr`. A look at the first letter before it makes the patterns faster.
_BEGIN = r"(?:\b|(?<=_)|(?<=%[0-9A-Fa-f]{2})|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2}))"
# Credentials that no setting holds, such as those a provider echoes: named parameters, headers, Meta's prefixes.
_PARAMETER = re.compile(
    rf"(?i)(?=[act]){_BEGIN}"
    r"(client_secret|appsecret_proof|app_secret|api_key|token)"  # and each name that ends with `_token`
    r"(\\*[\"']?\s*[=:]\s*\\*[\"']?|%3D)(?!\[redacted\])([^\s&\"'<>,;)}\]\\]{4,})"
)
_BEARER = re.compile(rf"(?i)(?=b){_BEGIN}(bearer\s+)" r"[^\s\"',;\\]{4,}")
_API_KEY = re.compile(rf"(?i){KEY_PREFIX}[A-Za-z0-9_\-]{{8,}}")
_META_TOKEN = re.compile(rf"(?=[EI]){_BEGIN}(?:EAA|IGAA|IGQ)" r"[A-Za-z0-9_\-]{12,}")


class LooksLike(NamedTuple):
    """What looks like a credential: a pattern, what replaces it, and a part in lower case that each match has."""

    pattern: re.Pattern[str]
    replacement: str
    parts: tuple[str, ...]


TOKENS = (
    LooksLike(_META_TOKEN, MARK, ("eaa", "igaa", "igq")),
    LooksLike(_API_KEY, MARK, (KEY_PREFIX.lower(),)),
)
CREDENTIALS = (
    *TOKENS,
    LooksLike(_BEARER, rf"\1{MARK}", ("bearer",)),
    LooksLike(_PARAMETER, rf"\1\2{MARK}", ("secret", "api_key", "token")),
)


# An extended grapheme cluster (UAX #29): what people see as one character, such as a flag or a family of emoji.
_GRAPHEME = regex.compile(r"\X")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning of at most `limit` code points, which ends with a whole grapheme.

    A grapheme that is longer than the limit is left out: the beginning may then be empty.
    """
    if len(text) <= limit:
        return text
    if limit > 0 and text[limit - 1 : limit + 1].isascii() and text[limit - 1 : limit + 1] != "\r\n":
        return text[:limit]  # Between two characters of ASCII a grapheme ends, but within a line break of Windows.
    # Whether a grapheme ends at a place depends on what is before it and on one code point after it.
    ends = (match.end() for match in _GRAPHEME.finditer(text, 0, limit + 1))
    return text[: max((end for end in ends if end <= limit), default=0)]


def one_line(text: str, limit: int, *, mark: str = " ...") -> str:
    """Return the text on one line; a longer one than `limit` is cut visibly, between words if there are any."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    head = cut(line, limit - len(mark))
    space = -1 if line[len(head) : len(head) + 1] == " " else head.rfind(" ")
    return (head[:space] if space >= limit // 2 else head).rstrip() + mark


def _forms(secret: str) -> tuple[str, ...]:
    encoded = quote(secret, safe=""), quote_plus(secret), b64encode(secret.encode()).decode().rstrip("=")
    return (secret, *encoded, json.dumps(secret)[1:-1])


class KnownSecrets:
    """The secrets of the settings, in every form and in any case.

    Most texts have none. That is seen ten times as fast in their lower case: `re` has no index of the first characters
    of a pattern that ignores the case of letters.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, longest_first)), re.IGNORECASE) if longest_first else None
        self._lower = re.compile("|".join(re.escape(form.lower()) for form in longest_first))
        self._is_ascii = all(map(str.isascii, longest_first))

    def redact(self, text: str) -> str:
        """Return the text without the secrets."""
        if self._pattern is None:
            return text
        # Beyond ASCII, letters may be equal whose lower cases are not.
        if self._is_ascii and text.isascii() and self._lower.search(text.lower()) is None:
            return text
        return self._pattern.sub(MARK, text)


def _bounded(form: str) -> str:
    """Return a pattern; of digits or of few characters only where they stand alone, not within another word."""
    if len(form) < MIN_LENGTH or form.isdigit():
        return rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])"
    return re.escape(form)


def _forms_in_both_cases(secret: str) -> set[str]:
    return {written for form in _forms(secret) for written in (form, form.lower())}


def _in_strings(text: str, redact: Callable[[str], str], *, ascii_: bool = True) -> str:
    """Redact each string and key of a JSON text; by a pattern, because content may be nested deeper than calls may."""
    return _JSON_STRING.sub(lambda match: json.dumps(redact(json.loads(match[0])), ensure_ascii=ascii_), text)


def _without(kinds: Sequence[LooksLike], text: str) -> str:
    """Return the text without what looks like a credential; most texts lack even the parts of one."""
    lower = text.lower() if text.isascii() else None  # Beyond ASCII, letters may be equal whose lower cases are not.
    for pattern, replacement, parts in kinds:
        if lower is None or any(part in lower for part in parts):
            text = pattern.sub(replacement, text)
    return text


class LearnedSecrets:
    """Secrets learned at run time, such as tokens of accounts; thread-safe.

    One pattern over all secrets would slow down with each of them. So the pattern holds only their few distinct
    prefixes, and a set of all forms decides at each match: thousands of secrets cost about as much as one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: OrderedDict[str, None] = OrderedDict()  # least recently learned first
        self._forms: set[str] = set()
        self._lengths: tuple[int, ...] = ()
        self._prefixes: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> bool:
        """Add a secret, and return whether it is new; beyond the limit the least recently learned one is dropped."""
        with self._lock:
            if secret in self._secrets:
                self._secrets.move_to_end(secret)
                return False
            self._secrets[secret] = None
            forms = _forms_in_both_cases(secret)
            self._forms |= forms
            if len(self._secrets) > MAX_LEARNED:
                self._secrets.popitem(last=False)
                self._forms = {form for each in self._secrets for form in _forms_in_both_cases(each)}
            self._lengths = tuple(sorted({len(form) for form in self._forms}, reverse=True))
            if not self._prefixes >= {form[:PREFIX_LENGTH] for form in forms}:
                self._prefixes |= {form[:PREFIX_LENGTH] for form in forms}
                self._pattern = re.compile("|".join(map(re.escape, sorted(self._prefixes))))
            return True

    def redact(self, text: str) -> str:
        """Return the text without the secrets."""
        pattern, lengths = self._pattern, self._lengths
        if pattern is None:
            return text
        parts, end, match = [], 0, pattern.search(text)
        while match is not None:
            start = match.start()
            # The lengths descend, so that the longest form wins: its URL-encoded form may begin with the secret itself.
            length = next((each for each in lengths if text[start : start + each] in self._forms), 0)
            if length:
                parts += [text[end:start], MARK]
                end = start + length
            match = pattern.search(text, end if length else start + 1)
        return "".join([*parts, text[end:]]) if parts else text


class Redaction:
    """Replaces the known secrets, also in URL and base64 form, and everything that looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = [secret for secret in secrets if secret]
        self._known = KnownSecrets(known)
        self._long = KnownSecrets(secret for secret in known if len(secret) >= MIN_LENGTH)
        self._learned = LearnedSecrets()
        self._clean: set[str] = set()

    def learn(self, secret: str) -> None:
        """Replace one more secret from now on."""
        if self._learned.add(secret):
            self._clean = set()

    def __call__(self, text: str) -> str:
        """Return the text without credentials."""
        return _without(CREDENTIALS, self.known(text))

    def reply(self, text: str) -> str:
        """Return a text of a reply without known secrets, API keys and tokens.

        What only looks like a credential by its name stays: replies explain to callers how theirs are sent.
        """
        return _without(TOKENS, self.known(text))

    def are_clean(self, texts: Sequence[str]) -> bool:
        """Return whether all texts are clean."""
        return self._clean.issuperset(texts) or all(map(self.is_clean, texts))

    def is_clean(self, text: str) -> bool:
        """Return whether `reply` leaves a text as it is; of a short one that was asked for before, without looking.

        Callers send the same few parameters with each request. A verdict goes into the set that was taken before the
        text was looked at, and a new secret replaces the set, so that none outlives the secrets that it was made with.
        """
        clean = self._clean
        if text in clean:
            return True
        if self.reply(text) != text:
            return False
        if len(text) <= MAX_CLEAN:
            if len(clean) >= MOST_CLEAN:
                clean.clear()
            clean.add(text)
        return True

    def reply_body(self, text: str, *, is_json: bool) -> str:
        """Return the body of a reply as `reply` does; of JSON its strings and keys."""
        return _in_strings(text, self.reply, ascii_=False) if is_json else self.reply(text)

    def log_line(self, text: str) -> str:
        """Return a JSON text without credentials; the known ones are looked for in its strings only."""
        if self.known(text) != text:
            text = _in_strings(text, self.known, ascii_=False)
        return _without(CREDENTIALS, text)

    def content(self, text: str) -> str:
        """Return a provider's content, as JSON in ASCII, with the known secrets removed from the strings in it.

        Numbers and structure stay as they are, and so do texts that contain a very short secret by chance: content
        that was paid for must not be damaged.
        """
        if self._known_in_content(text) == text:
            return text
        return _in_strings(text, self._known_in_content)

    def known(self, text: str) -> str:
        """Return the text without the known secrets; text that only looks like a credential stays."""
        return self._known.redact(self._learned.redact(text))

    def inside(self, value: object) -> object:
        """Return a JSON value with credentials removed from every string and key in it, as `content` does."""
        return json.loads(
            _in_strings(json.dumps(value), lambda text: _without(CREDENTIALS, self._known_in_content(text)))
        )

    def _known_in_content(self, text: str) -> str:
        return self._long.redact(self._learned.redact(text))
