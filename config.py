"""The settings: read once from the environment, checked together, frozen."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values

from config_values import READERS, listed

# The account, page, application and key that the simulator always has. None of them is a secret.
SANDBOX_CREDENTIALS: Mapping[str, str] = {
    "app_id": "200000000000000",
    "app_secret": "sandbox-app-secret",
    "instagram_account_id": "17841400000000000",
    "page_id": "100000000000000",
    "modash_api_key": "sandbox-modash-key",
}
SANDBOX_TOKENS: Mapping[str, str] = {"facebook": "EAASANDBOXUSERTOKEN", "instagram": "IGAASANDBOXUSERTOKEN"}
GRAPH_HOSTS: Mapping[str, str] = {"facebook": "graph.facebook.com", "instagram": "graph.instagram.com"}
TOKEN_PREFIXES: Mapping[str, str] = {"EAA": "facebook", "IGAA": "instagram"}  # Others occur, and tell nothing.
_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}")
_ID = re.compile(r"\d{1,30}")
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_ORIGIN = re.compile(r"\*|https?://[^/\s]+")


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
    modash_api_key: str = _secret()
    token_key: str = _secret()  # comma-separated; the first encrypts the tokens of added accounts, each opens them

    providers: str = ""  # live or sandbox; empty: live if a credential is set, else sandbox
    sandbox_despite_credentials: bool = False
    graph_login: str = ""  # facebook or instagram; empty: what the token's prefix says, else facebook
    graph_auth_in: str = "auto"  # header or query; auto: the header, and the query where that is not understood
    graph_api_version: str = "v25.0"
    graph_base_url: str = ""  # empty: the host of the login
    modash_base_url: str = "https://api.modash.io"
    end_time_marks: str = "day_end"  # which midnight of its day a provider's end_time is: day_end or day_start

    connect_timeout: float = 3.05  # seconds
    read_timeout: float = 15.0  # seconds between two bytes, and half of what a whole answer may take
    retry_budget: float = 10.0  # seconds for all the tries of one read together
    provider_parallel: int = 32
    modash_rate: float = 2.0  # calls a second, over all processes
    report_retry_after: int = 300  # seconds until a report that is not ready is worth asking for again
    modash_max_retries: int = 3  # times that it is asked for again, each after twice as long
    performance_ttl: int = 604_800  # seconds for which a report is answered before a new one is bought
    modash_credit_limit: float = 100.0  # credits that may be spent in a calendar month (UTC)
    uncertain_hold: int = 900  # seconds for which no report is bought after a call that never came back

    instance_path: str = "instance"  # the folder of memory.db and gateway.db, beside this module unless absolute
    database_url: str = _secret()  # postgresql://...; empty: the two files
    waiting_places: int = 24  # requests of each worker that may wait for a provider at once
    warm_megabytes: int = 32  # ready replies that each worker keeps

    host: str = "127.0.0.1"
    port: int = 8000
    simulator_port: int = 8001
    cors_origins: tuple[str, ...] = ()
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        """Fill in what sandbox mode implies, then refuse every fault together."""
        if not self.providers:
            has_credential = bool(self.access_long_lived_token or self.modash_api_key or self.token_key)
            object.__setattr__(self, "providers", "live" if has_credential else "sandbox")
        if not self.graph_login:
            object.__setattr__(self, "graph_login", _login_of(self.access_long_lived_token) or "facebook")
        faults = list(_faults(self))
        if faults:
            raise ConfigError(faults)
        host = GRAPH_HOSTS[self.graph_login]
        implied = {
            "graph_base_url": self.graph_base_url or f"https://{host}",
            "instance_path": str(Path(__file__).parent / self.instance_path),
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

    @property
    def sandbox(self) -> bool:
        """Whether the simulator stands in for the providers."""
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
    def graph_base_urls(self) -> Mapping[str, str]:
        """The address of each login; the one that is not configured stands beside the other, or is Meta's own."""
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
        own = (self.app_secret, self.access_long_lived_token, self.modash_api_key, *self.token_keys)
        return tuple(filter(None, (*own, urlsplit(self.database_url).password)))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Self:
        """Read the environment over the `.env` file beside this module; neither is changed.

        Raises `ConfigError` with every value that cannot be read.
        """
        path = dotenv if dotenv is not None else Path(__file__).with_name(".env")
        try:
            file = {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}
        except UnicodeDecodeError:
            raise ConfigError([f"{path.name} is not written in UTF-8."]) from None
        given = file | dict(os.environ if environ is None else environ)
        values: dict[str, object] = {}
        faults = []
        for setting in fields(cls):
            text = given.get(setting.name.upper(), "").strip()
            if not text:
                continue
            try:
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
    if not real and not config.token_key:  # With it there may be accounts in the store, where nobody looks yet.
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
        "end_time_marks": ("day_end", "day_start"),
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
        "graph_base_url": (re.compile(r"https?://\S+[^/\s]"), "a URL without a slash at its end"),
        "modash_base_url": (re.compile(r"https?://\S+[^/\s]"), "a URL without a slash at its end"),
        "database_url": (re.compile(r"postgres(ql)?://[^\s/]*/\S+"), "postgresql://user:password@host:port/database"),
    }
    # What was given is not repeated: it may be a credential that was pasted into the wrong line.
    faults = [
        f"{name.upper()} has the wrong form; accepted: {accepted}."
        for name, (pattern, accepted) in patterns.items()
        if (value := getattr(config, name)) and not pattern.fullmatch(value)
    ]
    wrong = [origin for origin in config.cors_origins if not _ORIGIN.fullmatch(origin)]
    if wrong:
        faults.append(f"CORS_ORIGINS has {', '.join(wrong)}; accepted: https://host[:port], comma-separated, or *.")
    credentials = ("access_long_lived_token", "app_secret", "modash_api_key")
    if not all(_FERNET_KEY.fullmatch(key) for key in config.token_keys):
        faults.append("TOKEN_KEY has the wrong form; accepted: keys of `make account ARGS=key`, comma-separated.")
    faults += [
        f"{name.upper()} has a space or a character outside ASCII; paste it again."
        for name in credentials
        if not re.fullmatch(r"[!-~]*", getattr(config, name))
    ]
    return faults


def _numbers(config: Config) -> list[str]:
    ranges = {
        "connect_timeout": (0.1, 60),
        "read_timeout": (0.1, 300),
        "retry_budget": (0, 300),
        "provider_parallel": (1, 256),
        "modash_rate": (0.1, 1000),
        "report_retry_after": (1, 86_400),
        "modash_max_retries": (1, 10),
        "performance_ttl": (1, 31_536_000),
        "modash_credit_limit": (0, 1_000_000),
        "uncertain_hold": (1, 604_800),
        "waiting_places": (1, 256),
        "warm_megabytes": (1, 1024),
        "port": (1, 65_535),
        "simulator_port": (1, 65_535),
    }
    faults = [
        f"{name.upper()} is {getattr(config, name)}; accepted: {low} to {high}."
        for name, (low, high) in ranges.items()
        if not low <= getattr(config, name) <= high
    ]
    if config.sandbox and config.port == config.simulator_port:
        faults.append(f"PORT and SIMULATOR_PORT are both {config.port}; each needs its own.")
    return faults
