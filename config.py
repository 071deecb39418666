"""The settings: read once from the environment, checked together, frozen."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # unknown to its stubs

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from config_checks import faults_of, has_host, without_brackets
from config_names import misnamed, unknown
from config_parsing import listed, read_value, unquoted
from front.origins_and_hosts import read_host, read_origin
from services.clients.graph.logins import GRAPH_HOSTS, login_of
from services.clients.this_machine import leads_to_this_machine
from services.insights.catalogue import RETENTION_DAYS

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

# The variable of the process that names the settings file. It cannot be in that file.
ENV_FILE = "ENV_FILE"

_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # and the one by which this machine reaches it


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
    backfill_days: int = RETENTION_DAYS  # how far back the worker reads the past of an account that is new here
    response_cache_mb: int = 8  # ready replies that each worker keeps
    requests_per_minute: int = 0  # of each key without a limit of its own, and of each address without a key; 0: any

    allow_anonymous: bool = False  # live mode: requests without an API key are answered
    host: str = "127.0.0.1"
    port: int = 8000
    simulator_port: int = 8001
    allowed_hosts: tuple[str, ...] = ()  # names under which browsers may call, beside `host` and localhost
    cors_origins: tuple[str, ...] = ()
    log_level: str = "INFO"

    notify_url: str = _secret()  # of the outgoing webhook; a URL may have a credential in its path or query
    notify_secret: str = _secret()  # comma-separated; each signs the events
    notify_events: tuple[str, ...] = ()  # empty: all

    def __post_init__(self) -> None:
        """Fill in what sandbox mode implies, then refuse every fault together."""
        if not self.providers:
            has_credential = bool(self.access_long_lived_token or self.modash_api_key or self.token_key)
            object.__setattr__(self, "providers", "live" if has_credential else "sandbox")
        if not self.graph_login:
            object.__setattr__(self, "graph_login", login_of(self.access_long_lived_token) or "facebook")
        faults = [*self._read_addresses(), *faults_of(self)]
        if faults:
            raise ConfigError(faults)
        host = GRAPH_HOSTS[self.graph_login]
        implied = {
            "graph_base_url": self.graph_base_url or f"https://{host}",
            "instance_path": str(Path(__file__).parent / self.instance_path),
            "host": without_brackets(self.host),
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

    def has_token_of(self, accounts: Collection[str]) -> bool:
        """Return whether one of these accounts (ids) is read with the token of `.env`, which the sandbox never is."""
        return not self.sandbox and bool(self.access_long_lived_token) and self.instagram_account_id in accounts

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
    def instagram_login_url(self) -> str:
        """The address where the Instagram login exchanges a code; it is beside the addresses of the Graph API."""
        own, base = GRAPH_HOSTS[self.graph_login], self.graph_base_url
        return (base.removesuffix(own) if base.endswith(f"/{own}") else "https://") + "api.instagram.com"

    @property
    def token_keys(self) -> tuple[str, ...]:
        """The keys for the tokens of added accounts, the one that encrypts first."""
        return listed(self.token_key)

    @property
    def notify_secrets(self) -> tuple[str, ...]:
        """The secrets that sign the events of the outgoing webhook."""
        return listed(self.notify_secret)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that must never leave the process."""
        apps = (self.app_secret, self.instagram_app_secret, self.webhook_verify_token)
        own = (*apps, self.access_long_lived_token, self.modash_api_key, *self.token_keys)
        own = (*own, self.notify_url, *self.notify_secrets, *self._database_passwords)
        return tuple(filter(None, own))

    @property
    def _database_passwords(self) -> tuple[str, ...]:
        """The password of the database wherever its address has it, as it is written there and as it is."""
        # Read as the driver's address is, which takes characters here that no other URL does.
        found = re.match(r"[^:]+://[^:/]*:([^@]*)@", self.database_url)
        written = "" if found is None else found[1]
        return written, unquote(written), *parse_qs(self.database_url.rpartition("?")[2]).get("password", [])

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
        faults = misnamed(environment, file, SETTINGS)
        for setting in fields(cls):
            try:
                text = unquoted(given.get(setting.name.upper(), ""))
                if not text:
                    continue
                values[setting.name] = read_value(setting.name, str(setting.type), text)
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


def settings_file() -> Path | None:
    """Return the settings file of this process, whether or not it is there; None where it reads none."""
    named = os.environ.get(ENV_FILE)
    if named is not None:
        return Path(__file__).parent / unquoted(named) if unquoted(named) else None
    return Path(__file__).parent / ".env"


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
    return unknown(file, SETTINGS)


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
        if value and not leads_to_this_machine(url) and not proxy_bypass_environment(host, exceptions):
            sentences[name] = _unusable_proxy(value)
    # The address is not repeated: it may hold a password.
    return [f"{name} {why}, so no provider can be reached." for name, why in sentences.items() if why]


def _unusable_proxy(address: str) -> str | None:
    url = address if "://" in address else f"http://{address}"
    scheme = url.partition("://")[0].lower()
    if not has_host(url) or scheme not in _PROXY_SCHEMES:
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
        if faults := _unreadable_lines(path):
            raise ConfigError(faults)
        return environment, {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}
    except UnicodeDecodeError:
        raise ConfigError([f"{path.name} is not written in UTF-8."]) from None
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}."]) from None


def _unreadable_lines(path: Path) -> list[str]:
    """Return a sentence for each line that sets nothing; without its setting the gateway could start as a sandbox."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        lines = [binding.original.line for binding in parse_stream(file) if binding.error]
    return [
        f"Line {line} of {path.name} is not NAME=value; a value that begins with a quotation mark has to end with it."
        for line in lines
    ]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
