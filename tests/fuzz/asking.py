"""Requests made from the contract: as it says, nearly as it says, and nothing like it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

Pairs = tuple[tuple[str, str], ...]
Parameters = Mapping[str, Mapping[str, Any]]  # of one path, by their names


@dataclass(frozen=True)
class Request:
    """One request, and the parameters of which at least one must be named if it is refused with 400."""

    path: str
    pairs: Pairs = ()
    suspects: frozenset[str] = frozenset()
    method: str = "GET"
    raw: str | None = None  # a query string that is not made of pairs
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> str:
        return urlencode(self.pairs, errors="surrogatepass") if self.raw is None else self.raw

    @property
    def named(self) -> set[str]:
        """The suspects as the gateway reads them: what is no UTF-8 stays encoded."""
        return {quote(name, errors="surrogatepass") if "\ud83d" in name else name for name in self.suspects}

    def __str__(self) -> str:
        return f"{self.method} {self.path!r:.200} ? {self.query!r:.300} {dict(self.environ)!r:.300}"


WILD = (
    *("", " ", "null", "None", "true", "[]", "{}", "0", "-1", "+5", "5.0", "1e3", "nan", "Infinity", "9" * 30),
    *(
        "٣",
        "\uff17d",
        "²",
        "\U0001d7d5d",
        "naïve",
        "日本語",
        "🎉" * 20,
        "\u202eday",
        "e\u0301",
        "İ",
        "ﬁ",
        "\ufeffday",
        "\ud83d",
    ),
    *("\x00", "day\x00", "a\r\nSet-Cookie: x=1", "\x1b[31m", "\x7f", "\t7d\n", "\x85", "\u2028", "day\n"),
    *("' OR 1=1 --", "../../etc/passwd", "%00", "%0d%0aX: 1", "<script>", "${7*7}", "{{7*7}}", "=1+1", "@", ",", ",,"),
    *("2026-02-30", "2026-W47-1", "20261101", "2026-11-01T00:00:00", "2026-11-1", "0001-01-01", "9999-12-31"),
    *("1262304000", "1262303999", "4102444800", "4102444801", "0000000000", "366d", "31d", "0d", "007d", "-7d", "7 d"),
    *(
        "https://www.instagram.com/",
        "//",
        "http://[::1",
        "https://instagram.com:99999/x",
        "@" * 40,
        "x" * 4000,
        "é" * 700,
    ),
)
PATHS = (
    *(
        "/",
        "//",
        "/x",
        "/%00",
        "/top-posts/",
        "//top-posts",
        "/top-posts//",
        "/api//discovery/performance-data",
        "/TOP-POSTS",
        "/top_posts",
        "/.",
        "/../healthz",
    ),
    *(
        "/healthz/..",
        "/a\nb",
        "/é",
        "/\xff\xfe",
        "/" + "x" * 9000,
        "/docs",
        "/api",
        "/api/discovery/",
        "/static/x",
        "*",
        "",
    ),
)
REFUSED_HEADERS = {"HTTP_HOST", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}
METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "BREW", "")
HEADERS: Mapping[str, tuple[str, ...]] = {
    "HTTP_ACCEPT": (
        *("text/csv", "*/*", "text/html", "application/json;q=0", "text/csv;q=0.9, application/json", "", ";;;q=,"),
        *("text/csv;q=nan", "text/csv;q=1e999", "text/csv;q=-1", "*", "text/*", "\xff", "a" * 5000, "text/csv\x00"),
    ),
    "HTTP_X_REQUEST_ID": ("abc-1", "x" * 128, "x" * 129, "", " ", "a\r\nX: 1", "a\x00", "\xe9", "a b", "٣"),
    "HTTP_HOST": ("gateway.example", "bad host", "", "[::1", "a\r\nb", "x" * 64, "\xff", "a:b:c"),
    "HTTP_ORIGIN": ("https://app.example", "null", "", "https://evil.example", "https://app.example\r\nX: 1"),
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": ("GET", "", "\x00"),
    "CONTENT_LENGTH": ("0", "", "5", "-1", "+1", "abc", "1e3", "9" * 20, "9" * 21, " 5", "²"),
    "CONTENT_TYPE": ("application/json", "multipart/form-data", "application/x-www-form-urlencoded", "\xff", ";" * 100),
    "HTTP_COOKIE": ("a=b", "=", ";" * 1000, "\xff", 'a="\x00'),
    "HTTP_AUTHORIZATION": ("Bearer x", "Basic !!!", "\xff", "Bearer " + "x" * 5000),
    "HTTP_IF_NONE_MATCH": ("*", '"', "W/"),
    "HTTP_RANGE": ("bytes=0-1", "bytes=-", "x"),
    "HTTP_X_FORWARDED_FOR": ("127.0.0.1, \x00", "\xff"),
    "HTTP_TRANSFER_ENCODING": ("chunked", "x"),
}


def accepted(schema: Mapping[str, Any], random: Random) -> str:
    """A value that a parameter's schema accepts."""
    if "enum" in schema:
        return str(random.choice(schema["enum"]))
    if schema["type"] == "boolean":
        return random.choice(("true", "false"))
    if schema["type"] == "integer":
        return str(random.randint(schema.get("minimum", 5), schema.get("maximum", 5)))
    pattern = schema.get("pattern", "")
    if pattern.endswith(")d$"):
        return f"{random.choice((1, 2, 7, 7, 7, random.randint(1, 30)))}d"
    if names := re.fullmatch(r"\^\(([\w|]+)\)\(,\(\1\)\)\*\$", pattern):
        listed = names[1].split("|")
        return ",".join(random.sample(listed, min(random.choice((1, 1, 2, 3)), len(listed))))
    return str(random.choice(schema.get("examples", ["us"])))


def valid(path: str, parameters: Parameters, random: Random) -> Request:
    """A request as the contract says; the days it asks for are few."""
    pairs = {
        name: accepted(parameter["schema"], random)
        for name, parameter in parameters.items()
        if parameter["required"] or random.random() < 0.3
    }
    if "since" in parameters:
        pairs.pop("since", None)
        pairs.pop("until", None)
        if random.random() < 0.6:
            first = random.randint(1, 20)
            pairs |= {"since": f"2026-11-{first:02}", "until": f"2026-11-{first + random.choice((0, 1, 2, 6)):02}"}
    items = list(pairs.items())
    random.shuffle(items)
    accept = random.choice(HEADERS["HTTP_ACCEPT"])
    return Request(path, tuple(items), environ={"HTTP_ACCEPT": accept} if random.random() < 0.2 else {})


# One thing that is wrong, or might be: each takes the value and returns another.
TWISTS: Mapping[str, Callable[[str, Random], str]] = {
    "upper case": lambda value, _: value.upper(),
    "title case": lambda value, _: value.title(),
    "padded": lambda value, _: f" {value} ",
    "a letter less": lambda value, random: value[: (cut := random.randrange(len(value) + 1))] + value[cut + 1 :],
    "a letter more": lambda value, random: value[: (cut := random.randrange(len(value) + 1))] + "x" + value[cut:],
    "nonsense among it": lambda value, random: f"{value},{random.choice(WILD)}",
    "twice": lambda value, _: f"{value},{value}",
    "a comma more": lambda value, _: f",{value},,",
    "empty": lambda *_: "",
    "encoded twice": lambda value, _: quote(quote(value, safe=""), safe=""),
    "very long": lambda value, _: value * 500,
    "wild": lambda _, random: random.choice(WILD),
    "before wild": lambda value, random: value + random.choice(WILD),
    "quoted": lambda value, _: f'"{value}"',
}


def nearly_valid(path: str, parameters: Parameters, random: Random) -> Request:
    """A valid request with one thing changed."""
    request = valid(path, parameters, random)
    names = [name for name, _ in request.pairs]
    change = random.random()
    if not names or change < 0.15:
        strange = random.choice(
            (*WILD, *parameters, "metric", "perod", "PERIOD", "metrics[]", "time-range", "access_token")
        )
        strange = strange if strange not in names else f"{strange}s"
        pairs = (*request.pairs, (strange, "1"))
        return replace(request, pairs=pairs, suspects=frozenset({strange}))
    if change < 0.25:
        gone = random.choice(names)
        return replace(
            request, pairs=tuple(pair for pair in request.pairs if pair[0] != gone), suspects=frozenset({gone})
        )
    index = random.randrange(len(names))
    name, value = request.pairs[index]
    if change < 0.35:
        again = (name, random.choice((value, random.choice(WILD))))
        return replace(request, pairs=(*request.pairs, again), suspects=frozenset({name}))
    twisted = random.choice(list(TWISTS.values()))(value, random)
    pairs = (*request.pairs[:index], (name, twisted), *request.pairs[index + 1 :])
    days = {"since", "until"}  # A day that is right by itself may be wrong beside the other.
    return replace(request, pairs=pairs, suspects=frozenset({name} | (days if name in days else set())))


def wild(path: str, parameters: Parameters, random: Random) -> Request:
    """A request that no frontend makes."""
    names = [*parameters, *parameters, *WILD]
    pairs = [(random.choice(names), random.choice(WILD)) for _ in range(random.choice((0, 1, 2, 3, 8)))]
    if random.random() < 0.5:
        pairs += valid(path, parameters, random).pairs
    chosen = random.sample(list(HEADERS), random.choice((0, 1, 1, 2, 4)))
    environ = {name: random.choice(HEADERS[name]) for name in chosen}
    required = {name for name, each in parameters.items() if each["required"]}
    suspects = frozenset({name for name, _ in pairs} | required)
    raw, asked = None, path
    if random.random() < 0.2:
        characters = "&&==%%;+,?#/\\\"'\x00\r\n\xff\x80aé0dfc"
        raw = "".join(random.choices(characters, k=random.choice((1, 5, 30, 7990, 9000))))
    if random.random() < 0.15:
        asked = random.choice(PATHS)
    if raw is not None or asked != path or environ.keys() & REFUSED_HEADERS:
        suspects = frozenset()  # It may be refused for something else than its parameters.
    return Request(
        asked, tuple(pairs), suspects, random.choice(METHODS) if random.random() < 0.3 else "GET", raw, environ
    )
