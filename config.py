"""The settings: read once from the environment, checked together, frozen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # unknown to its stubs

from dotenv import dotenv_values

from front.web_addresses import read_host, read_origin

# The account, page, applications and key that the simulator always has. None of them is a secret.
SANDBOX_CREDENTIALS: Mapping[str, str] = {
    "app_id": "200000000000000",
    "app_secret": "sandbox-app-secret",
    "instagram_app_id": "200000000000001",
    "instagram_app_secret": "sandbox-instagram-app-secret",
    "webhook_verify_token": "sandbox-verify-token",
    "instagram_account_id": "17841400000000000",
    "page_id": "100000000000000",
    "modash_api_key": "sandbox-modash-key",
}
SANDBOX_TOKENS: Mapping[str, str] = {"facebook": "EAASANDBOXUSERTOKEN", "instagram": "IGAASANDBOXUSERTOKEN"}
GRAPH_HOSTS: Mapping[str, str] = {"facebook": "graph.facebook.com", "instagram": "graph.instagram.com"}
TOKEN_PREFIXES: Mapping[str, str] = {"EAA": "facebook", "IGAA": "instagram"}  # Other prefixes occur with both logins.

# The settings that had another name before 0.1.0. An old name stops the start, because ignoring it would silently
# replace a chosen value by the default.
RENAMED: Mapping[str, str] = {
    "END_TIME_MARKS": "END_TIME_CONVENTION",
    "UNCERTAIN_HOLD": "UNCERTAIN_CHARGE_HOLD",
    "WAITING_PLACES": "MAX_WAITING_REQUESTS",
    "WARM_MEGABYTES": "RESPONSE_CACHE_MB",
}
# Instagram gives values of the last two years, and posts are read up to an age of 90 days.
LEAST_KEPT_DAYS: Mapping[str, int] = {"history_keep_days": 730, "media_keep_days": 91}
# The variable of the process that names the settings file. It cannot be in that file.
ENV_FILE = "ENV_FILE"

# How similar (difflib, 0 to 1) an unknown name must be to a setting to be taken for a mistyped one. In the file,
# 0.8 finds MODASH_KEY (0.83) and leaves NGINX_PORT (0.57) alone. The environment holds the variables of other
# programs, such as the MODASH_PORT (0.82) that Kubernetes defines for a service of that name; there, only names with
# the prefix of a provider that differ by a letter or two count.
_MISTYPED_IN_FILE, _MISTYPED_IN_ENVIRONMENT, _NEAREST = 0.8, 0.9, 0.6
_OUR_PREFIXES = ("GRAPH_", "MODASH_")
_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")
_ID = re.compile(r"\d{1,30}")
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
_BASE_URL = re.compile(r"https?://[^\s?#]+[^/\s?#]")
_PATH_WITH_VERSION = re.compile(r"(https?://\S+?)/+v\d+(\.\d+)?(/\S*)?", re.IGNORECASE)
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})  # never behind a proxy
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # and the one by which this machine reaches it
_QUOTES = "\"'`\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\uff02\uff07"


def _boolean(text: str) -> bool:
    if text.lower() in {"true", "1", "yes", "on"}:
        return True
    if text.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError(f"is {text!r}; accepted: true, false")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"is {text!r}; accepted: a number") from None


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError(f"is {text!r}; accepted: a whole number")
    return int(text)


def unquoted(text: str) -> str:
    """Return a value without the spaces and the pair of quotes around it, as a shell and `.env` take them off.

    `docker run --env-file` keeps them. Raises `ValueError` for any other quotation mark at an end of the value, which
    would become a part of it: a single one, or a typographic one.
    """
    value = text.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    if value and (value[0] in _QUOTES or value[-1] in _QUOTES):
        raise ValueError("begins or ends with a quotation mark; write it without")
    return value


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part.rstrip("/") for part in re.split(r"[,\s]+", text) if part)


READERS: Mapping[str, Callable[[str], object]] = {
    "bool": _boolean,
    "float": _number,
    "int": _integer,
    "tuple[str, ...]": listed,
}


class ConfigError(Exception):
    """The settings do not allow a start; the text lists every fault at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("The gateway cannot start:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = tuple(faults)


def _secret() -> Any:
    return field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting; the variable in the environment is the field's name in upper case."""

    app_id: str = ""
    app_secret: str = _secret()
    access_long_lived_token: str = _secret()
    instagram_account_id: str = ""
    page_id: str = ""
    instagram_app_id: str = ""  # of the Instagram login's app, which has an id and a secret of its own
    instagram_app_secret: str = _secret()
    webhook_verify_token: str = _secret()  # chosen by the operator; Meta shows it when it checks the callback URL
    modash_api_key: str = _secret()
    token_key: str = _secret()  # comma-separated; the first encrypts the tokens of added accounts, each opens them

    providers: str = ""  # live or sandbox; empty: live if a credential is set, else sandbox
    sandbox_despite_credentials: bool = False
    graph_login: str = ""  # facebook or instagram; empty: what the token's prefix says, else facebook
    graph_auth_in: str = "auto"  # header or query; auto: the header, and the query where that is not understood
    graph_api_version: str = "v25.0"
    graph_base_url: str = ""  # empty: the host of the login
    modash_base_url: str = "https://api.modash.io"
    end_time_convention: str = "day_end"  # which midnight of its day a provider's end_time is: day_end or day_start

    connect_timeout: float = 3.05  # seconds
    read_timeout: float = 15.0  # seconds between two bytes; a whole answer may take twice that, a paid one three times
    retry_budget: float = 10.0  # seconds for all the tries of one read together
    request_deadline: float = 90.0  # seconds for one request as a whole
    provider_parallel: int = 32
    modash_rate: float = 2.0  # calls a second, over all processes
    report_retry_after: int = 300  # seconds until a report that is not ready is requested again
    modash_max_retries: int = 3  # further requests for it, each after twice the wait
    performance_ttl: int = 604_800  # seconds for which a report is answered from the store
    modash_credit_limit: float = 100.0  # credits that may be spent in a calendar month (UTC)
    history_keep_days: int = 0  # for which values of days and follower counts are kept; 0 for ever
    media_keep_days: int = 0  # the same for posts, stories and their numbers
    uncertain_charge_hold: int = 900  # seconds for which no report is bought after a call without an answer

    instance_path: str = "instance"  # the folder of memory.db and gateway.db; a relative path starts beside this module
    database_url: str = _secret()  # postgresql://...; empty: the two files
    max_waiting_requests: int = 24  # requests of each worker that may wait at once for one account, or for Modash
    backfill_days: int = 729  # how far back the worker reads the past of an account that is new here
    response_cache_mb: int = 16  # ready replies that each worker keeps

    host: str = "127.0.0.1"
    port: int = 8000
    simulator_port: int = 8001
    allowed_hosts: tuple[str, ...] = ()  # names under which browsers may call, beside `host` and localhost
    cors_origins: tuple[str, ...] = ()
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        """Fill in what sandbox mode implies, then refuse every fault together."""
        if not self.providers:
            has_credential = bool(self.access_long_lived_token or self.modash_api_key or self.token_key)
            object.__setattr__(self, "providers", "live" if has_credential else "sandbox")
        if not self.graph_login:
            object.__setattr__(self, "graph_login", _login_of(self.access_long_lived_token) or "facebook")
        faults = [*self._read_addresses(), *_faults(self)]
        if faults:
            raise ConfigError(faults)
        host = GRAPH_HOSTS[self.graph_login]
        implied = {
            "graph_base_url": self.graph_base_url or f"https://{host}",
            "instance_path": str(Path(__file__).parent / self.instance_path),
            "host": _bare(self.host),
        }
        if self.sandbox:
            simulator = f"http://127.0.0.1:{self.simulator_port}"
            implied |= {
                **SANDBOX_CREDENTIALS,
                "access_long_lived_token": SANDBOX_TOKENS[self.graph_login],
                "graph_base_url": f"{simulator}/{host}",
                "modash_base_url": f"{simulator}/api.modash.io",
            }
        for name, value in implied.items():
            object.__setattr__(self, name, value)

    def _read_addresses(self) -> list[str]:
        """Bring origins and hosts to the form in which browsers send them; return what is wrong with the others."""
        faults = []
        for name, read in (("allowed_hosts", read_host), ("cors_origins", read_origin)):
            given: dict[str, None] = {}
            for text in getattr(self, name):
                try:
                    given[read(text)] = None
                except ValueError as error:
                    # A URL may have a password in it.
                    faults.append(f"{name.upper()} has {text.rpartition('@')[2]}: {error}.")
            object.__setattr__(self, name, tuple(given))
        return faults

    @property
    def sandbox(self) -> bool:
        """Whether the simulator replaces the providers."""
        return self.providers == "sandbox"

    @property
    def instagram_configured(self) -> bool:
        """Whether the settings have a token to read Instagram with."""
        return bool(self.access_long_lived_token)

    @property
    def modash_configured(self) -> bool:
        """Whether there is a key to read Modash with."""
        return bool(self.modash_api_key)

    @property
    def bind(self) -> str:
        """The address to listen on, as a server takes it; one of IPv6 stands in brackets."""
        return _address(self.host, self.port)

    @property
    def url(self) -> str:
        """The address by which a program of this machine reaches the gateway."""
        return f"http://{_address(_EVERY_ADDRESS.get(self.host, self.host), self.port)}"

    @property
    def graph_base_urls(self) -> Mapping[str, str]:
        """The address of each login; the one that is not configured is derived from the other, or is Meta's."""
        own, base = GRAPH_HOSTS[self.graph_login], self.graph_base_url
        before = base.removesuffix(own) if base.endswith(f"/{own}") else "https://"
        return {login: before + host for login, host in GRAPH_HOSTS.items()} | {self.graph_login: base}

    @property
    def token_keys(self) -> tuple[str, ...]:
        """The keys for the tokens of added accounts, the one that encrypts first."""
        return listed(self.token_key)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never leave the process."""
        apps = (self.app_secret, self.instagram_app_secret, self.webhook_verify_token)
        own = (*apps, self.access_long_lived_token, self.modash_api_key, *self.token_keys)
        return tuple(filter(None, (*own, urlsplit(self.database_url).password)))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the environment over the settings file; neither is changed.

        The file is the one that the variable ENV_FILE names (none if it is empty), by default `.env` beside this
        module. A mapping replaces the environment of the process as a whole: with it, only its own ENV_FILE is read.

        Raises `ConfigError` with every misnamed setting and every value that cannot be read.
        """
        environment, file = _sources(environ)
        given = {**file, **environment}
        values: dict[str, object] = {}
        faults = _misnamed(environment, file)
        for setting in fields(cls):
            try:
                text = unquoted(given.get(setting.name.upper(), ""))
                if not text:
                    continue
                values[setting.name] = READERS.get(str(setting.type), str)(text)
            except ValueError as error:
                faults.append(f"{setting.name.upper()} {error}.")
        try:
            config = cls(**values)  # type: ignore[arg-type]  # Each reader returns its field's type.
        except ConfigError as error:
            raise ConfigError([*faults, *error.faults]) from None
        if faults:
            raise ConfigError(faults)
        return config


SETTINGS = frozenset(setting.name.upper() for setting in fields(Config))


def settings_now() -> Mapping[str, str]:
    """Return the settings of the environment and of the settings file, as an environment that names no file.

    Raises `ConfigError` if the file cannot be read.
    """
    environment, file = _sources(None)
    return {name: text for name, text in {**file, **environment}.items() if name in SETTINGS} | {ENV_FILE: ""}


def keep_settings(settings: Mapping[str, str]) -> None:
    """Let this process go by settings of an earlier moment, whatever the settings file holds meanwhile."""
    os.environ.update(settings)


def simulator_port(environ: Mapping[str, str] | None = None) -> str:
    """Return SIMULATOR_PORT as it is written, or its default; no other setting is read. Raises `ConfigError`."""
    environment, file = _sources(environ)
    try:
        given = unquoted({**file, **environment}.get("SIMULATOR_PORT", ""))
    except ValueError as error:
        raise ConfigError([f"SIMULATOR_PORT {error}."]) from None
    return given or str(Config.simulator_port)


def unknown_settings(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable of the settings file that is none of the gateway's and is not like one."""
    _, file = _sources(environ)
    sentences = []
    for name in file.keys() - SETTINGS - RENAMED.keys():
        if _nearest(name, _MISTYPED_IN_FILE) is None:
            nearest = _nearest(name, _NEAREST)
            hint = f"; the nearest one is {nearest}" if nearest else ""
            # A line that is not an assignment may be the rest of a token that was broken into two lines.
            shown = name if _VARIABLE.fullmatch(name) else "A line"
            sentences.append(f"{shown} in the settings file is not a setting of the gateway{hint}. It has no effect.")
    return sorted(sentences)


def unusable_proxies(config: Config, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each proxy of the environment through which a provider cannot be reached.

    That is no fault that stops the start: without providers the gateway still answers what is kept.
    """
    environment = os.environ if environ is None else environ
    # As `requests` reads them: a name in lower case overrides the other one.
    proxies = {name.lower(): (name, value) for name, value in environment.items() if name.isupper()}
    proxies |= {name: (name, value) for name, value in environment.items() if name.islower()}
    exceptions = {"no": proxies["no_proxy"][1]} if "no_proxy" in proxies else {}
    sentences = {}
    for url in (*config.graph_base_urls.values(), config.modash_base_url):
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        name, value = next(
            (proxies[each] for each in (f"{scheme}_proxy", "all_proxy") if proxies.get(each, ("", ""))[1]), ("", "")
        )
        if value and host not in _LOOPBACK and not proxy_bypass_environment(host, exceptions):
            sentences[name] = _unusable_proxy(value)
    # The address is not repeated: it may hold a password.
    return [f"{name} {why}, so no provider can be reached." for name, why in sentences.items() if why]


def _unusable_proxy(address: str) -> str | None:
    url = address if "://" in address else f"http://{address}"
    scheme = url.partition("://")[0].lower()
    if not _has_host(url) or scheme not in _PROXY_SCHEMES:
        return "is not the address of a proxy (http://[user:password@]host:port)"
    if scheme.startswith("socks") and find_spec("socks") is None:
        return "names a SOCKS proxy, for which the package PySocks is not installed"
    return None


def _sources(environ: Mapping[str, str] | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the environment, and what the settings file holds."""
    environment = os.environ if environ is None else {ENV_FILE: "", **environ}
    try:
        named = None if ENV_FILE not in environment else unquoted(environment[ENV_FILE])
    except ValueError as error:
        raise ConfigError([f"{ENV_FILE} {error}."]) from None
    if named == "":
        return environment, {}
    path = Path(__file__).parent / (named or ".env")
    if named and not path.is_file():
        # Without it the gateway would start as a sandbox, or with the wrong limits.
        raise ConfigError([f"{ENV_FILE} names {path}, which is not a file."])
    try:
        return environment, {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}
    except UnicodeDecodeError:
        raise ConfigError([f"{path.name} is not written in UTF-8."]) from None
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}."]) from None


def _misnamed(environment: Mapping[str, str], file: Mapping[str, str]) -> list[str]:
    faults = [
        f"{old} is now called {new}; rename it in {' and in '.join(places)}."
        for old, new in RENAMED.items()
        if (places := [place for place, names in (("the environment", environment), (".env", file)) if old in names])
    ]
    for name in sorted(file.keys() - SETTINGS - RENAMED.keys()):
        if nearest := _nearest(name, _MISTYPED_IN_FILE):
            faults.append(f"{name} in .env is not a setting; the nearest one is {nearest}.")
    for name in sorted(environment.keys() - file.keys() - SETTINGS - RENAMED.keys()):
        if name.startswith(_OUR_PREFIXES) and (nearest := _nearest(name, _MISTYPED_IN_ENVIRONMENT)):
            faults.append(f"{name} in the environment is not a setting; the nearest one is {nearest}.")
    return faults


def _nearest(name: str, cutoff: float) -> str | None:
    return next(iter(get_close_matches(name.upper(), SETTINGS, n=1, cutoff=cutoff)), None)


def _login_of(token: str) -> str | None:
    return next((login for prefix, login in TOKEN_PREFIXES.items() if token.startswith(prefix)), None)


def _faults(config: Config) -> list[str]:
    return [fault for check in (_missing, _choices, _formats, _numbers) for fault in check(config)]


def _missing(config: Config) -> list[str]:
    real = [name.upper() for name in ("access_long_lived_token", "modash_api_key") if getattr(config, name)]
    if config.sandbox:
        if real and not config.sandbox_despite_credentials:
            return [
                f"PROVIDERS=sandbox, but {' and '.join(real)} is set. Remove it, or set PROVIDERS=live, "
                "or state SANDBOX_DESPITE_CREDENTIALS=true to leave it unused."
            ]
        return []
    faults = []
    # With a TOKEN_KEY there may be accounts in the store, which is not open yet.
    if not real and not config.token_key:
        faults.append(
            "ACCESS_LONG_LIVED_TOKEN or MODASH_API_KEY is missing (PROVIDERS=live needs at least one, or a TOKEN_KEY)."
        )
    known = config.instagram_account_id or config.page_id or config.graph_login == "instagram"
    if config.access_long_lived_token and not known:
        faults.append("INSTAGRAM_ACCOUNT_ID or PAGE_ID is missing (the token's account is found by one of them).")
    return faults


def _choices(config: Config) -> list[str]:
    accepted = {
        "providers": ("live", "sandbox"),
        "graph_login": tuple(GRAPH_HOSTS),
        "graph_auth_in": ("auto", "header", "query"),
        "end_time_convention": ("day_end", "day_start"),
        "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
    }
    faults = [
        f"{name.upper()} is {getattr(config, name)!r}; accepted: {', '.join(values)}."
        for name, values in accepted.items()
        if getattr(config, name) not in values
    ]
    certain = _login_of(config.access_long_lived_token)
    if certain is not None and config.graph_login in GRAPH_HOSTS and certain != config.graph_login:
        faults.append(f"GRAPH_LOGIN is {config.graph_login!r}, but the token is one of the {certain} login.")
    return faults


def _formats(config: Config) -> list[str]:
    patterns: dict[str, tuple[re.Pattern[str], str]] = {
        "graph_api_version": (_VERSION, "a version such as v25.0"),
        "instagram_account_id": (_ID, "a number of digits only"),
        "page_id": (_ID, "a number of digits only"),
        "graph_base_url": (_BASE_URL, "a URL without a slash at its end"),
        "modash_base_url": (_BASE_URL, "a URL without a slash at its end"),
        "database_url": (re.compile(r"postgres(ql)?://[^\s/]*/\S+"), "postgresql://user:password@host:port/database"),
    }
    # What was given is not repeated: it may be a credential that was pasted into the wrong line.
    faults = [
        f"{name.upper()} has the wrong form; accepted: {accepted}."
        for name, (pattern, accepted) in patterns.items()
        if (value := getattr(config, name)) and not pattern.fullmatch(value) and not _with_version(config, name)
    ]
    faults += [
        f"{name.upper()} has the wrong form; accepted: a URL with a host."
        for name in ("graph_base_url", "modash_base_url")
        if _BASE_URL.fullmatch(getattr(config, name)) and not _has_host(getattr(config, name))
    ]
    faults += [fault for name in ("graph_base_url", "modash_base_url") if (fault := _with_version(config, name))]
    if not _is_host(_bare(config.host)):
        faults.append(
            f"HOST is {config.host!r}; accepted: an address or a name of this machine, without a port, such as "
            "127.0.0.1, ::1 or 0.0.0.0."
        )
    credentials = (
        *("access_long_lived_token", "app_secret", "modash_api_key"),
        *("instagram_app_secret", "webhook_verify_token"),
    )
    if not all(_FERNET_KEY.fullmatch(key) for key in config.token_keys):
        faults.append("TOKEN_KEY has the wrong form; accepted: keys of `make account ARGS=key`, comma-separated.")
    faults += [
        f"{name.upper()} has a space or a character outside ASCII; paste it again."
        for name in credentials
        if not re.fullmatch(r"[!-~]*", getattr(config, name))
    ]
    return faults


def _bare(host: str) -> str:
    """Return an address of IPv6 without the brackets that URLs put around it."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        # What looks like a number is a mistyped address, such as 127.0.0 or 300.1.1.1, which would be resolved.
        return _HOST_NAME.fullmatch(host) is not None and not host.rpartition(".")[2].isdecimal()
    return True


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _with_version(config: Config, name: str) -> str | None:
    """Return the fault of a base URL that has a version, which the gateway itself adds to every address."""
    found = _PATH_WITH_VERSION.fullmatch(getattr(config, name))
    if found is None:
        return None
    right = "the address before it" if "@" in found[1] else found[1].rstrip("/")
    why = "GRAPH_API_VERSION is the version" if name == "graph_base_url" else "the gateway adds it"
    return f"{name.upper()} has a version in it, but {why}; write {right}."


def _numbers(config: Config) -> list[str]:
    ranges = {
        "connect_timeout": (0.1, 60),
        "read_timeout": (0.1, 300),
        "retry_budget": (0, 300),
        "request_deadline": (1, 600),
        "provider_parallel": (1, 256),
        "modash_rate": (0.1, 1000),
        "report_retry_after": (1, 86_400),
        "modash_max_retries": (1, 10),
        "performance_ttl": (1, 31_536_000),
        "modash_credit_limit": (0, 1_000_000),
        "uncertain_charge_hold": (1, 604_800),
        "history_keep_days": (0, 36_500),
        "media_keep_days": (0, 36_500),
        "max_waiting_requests": (1, 256),
        "backfill_days": (0, 729),
        "response_cache_mb": (1, 1024),
        "port": (1, 65_535),
        "simulator_port": (1, 65_535),
    }
    faults = [
        f"{name.upper()} is {getattr(config, name)}; accepted: {low} to {high}."
        for name, (low, high) in ranges.items()
        if not low <= getattr(config, name) <= high
    ]
    faults += [
        f"{name.upper()} is {kept}; accepted: 0 (for ever), or {least} and more: younger ones would be read again."
        for name, least in LEAST_KEPT_DAYS.items()
        if 0 < (kept := getattr(config, name)) < least
    ]
    if config.sandbox and config.port == config.simulator_port:
        faults.append(f"PORT and SIMULATOR_PORT are both {config.port}; each needs its own.")
    return faults
