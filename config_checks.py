"""What is accepted for each setting, and the sentences about those that are not accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.clients.graph.logins import GRAPH_HOSTS, login_of
from services.clients.this_machine import leads_to_this_machine
from services.insights.catalogue import RETENTION_DAYS
from services.notifications.events import EVENTS
from services.posts.ages import FIRST_LOOK_DAYS

if TYPE_CHECKING:
    from config import Config

# What is accepted for each setting that is one of a few words.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "providers": ("live", "sandbox"),
    "graph_login": tuple(GRAPH_HOSTS),
    "graph_auth_in": ("auto", "header", "query"),
    "end_time_convention": ("day_end", "day_start"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
}
# The least and the largest number that is accepted for each setting that is one.
RANGES: Mapping[str, tuple[float, float]] = {
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
    "backfill_days": (0, RETENTION_DAYS),
    "response_cache_mb": (1, 1024),
    "requests_per_minute": (0, 1_000_000),
    "port": (1, 65_535),
    "simulator_port": (1, 65_535),
}
# A day more than what is read: what is deleted before would be read again.
LEAST_KEPT_DAYS: Mapping[str, int] = {
    "history_keep_days": RETENTION_DAYS + 1,
    "media_keep_days": FIRST_LOOK_DAYS + 1,
}

_VERSION = re.compile(r"v\d{1,3}\.\d{1,2}", re.ASCII)
_ID = re.compile(r"\d{1,30}", re.ASCII)
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_BASE_URL = re.compile(r"https?://[^\s?#]+[^/\s?#]")
_PATH_WITH_VERSION = re.compile(r"(https?://\S+?)/+v\d+(\.\d+)?(/\S*)?", re.IGNORECASE)
# Standard Webhooks: a key of 24 to 64 bytes in base64.
_NOTIFY_SECRET = re.compile(
    r"whsec_(?=[A-Za-z0-9+/=]{32,88}$)(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
_NOTIFY_URL = re.compile(r"(https?)://[^\s@#]+", re.IGNORECASE)
# With a second @ the driver takes the rest of a password for the host, which it names in its errors.
_DATABASE_URL = re.compile(
    r"postgres(ql)?://([^\s/@:]*(:[^\s/@]*)?@)?(\[[^\s/@\]]*\]|[^\s/@:]*)(:\d{1,5})?/\S+", re.ASCII
)
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def faults_of(config: Config) -> list[str]:
    """Return a sentence for each value that is not accepted."""
    return [fault for check in (_missing, _choices, _formats, _numbers, _notify) for fault in check(config)]


def range_in_words(name: str) -> str:
    """Return what follows `accepted: a number` for a setting, or nothing if it is no number."""
    return f" from {RANGES[name][0]} to {RANGES[name][1]}" if name in RANGES else ""


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
    faults = [
        f"{name.upper()} is {getattr(config, name)!r}; accepted: {', '.join(values)}."
        for name, values in CHOICES.items()
        if getattr(config, name) not in values
    ]
    certain = login_of(config.access_long_lived_token)
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
        "database_url": (
            _DATABASE_URL,
            "postgresql://user:password@host:port/database, with @, : and / in user and password as %40, %3A and %2F",
        ),
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
        if _BASE_URL.fullmatch(getattr(config, name)) and not has_host(getattr(config, name))
    ]
    faults += [fault for name in ("graph_base_url", "modash_base_url") if (fault := _with_version(config, name))]
    if not _is_host(without_brackets(config.host)):
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


def _notify(config: Config) -> list[str]:
    """Return what is wrong with the outgoing webhook. Its address is not repeated: it may have a credential in it."""
    faults = []
    if config.notify_url and not _is_notify_url(config.notify_url):
        faults.append(
            "NOTIFY_URL has the wrong form; accepted: https://host/path without user, password and fragment "
            "(http:// for this machine only: localhost, 127.0.0.1 or [::1])."
        )
    if config.notify_url and not config.notify_secret:
        faults.append("NOTIFY_SECRET is missing (NOTIFY_URL needs it; `make notify ARGS=secret` prints one).")
    if not all(_NOTIFY_SECRET.fullmatch(secret) for secret in config.notify_secrets):
        faults.append(
            "NOTIFY_SECRET has the wrong form; accepted: those of `make notify ARGS=secret`, comma-separated."
        )
    if unknown := [event for event in config.notify_events if event not in EVENTS]:
        faults.append(f"NOTIFY_EVENTS has {', '.join(unknown)}; accepted: {', '.join(EVENTS)}.")
    return faults


def _is_notify_url(url: str) -> bool:
    form = _NOTIFY_URL.fullmatch(url)
    if form is None or not has_host(url):
        return False
    return form[1].lower() == "https" or leads_to_this_machine(url)


def without_brackets(host: str) -> str:
    """Return an address of IPv6 without the brackets that URLs put around it."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        # What looks like a number is a mistyped address, such as 127.0.0 or 300.1.1.1, which would be resolved.
        return _HOST_NAME.fullmatch(host) is not None and not host.rpartition(".")[2].isdecimal()
    return True


def has_host(url: str) -> bool:
    """Return whether a URL has a host, and a port that can be used where it has one."""
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
    faults = [
        f"{name.upper()} is {getattr(config, name)}; accepted: {low} to {high}."
        for name, (low, high) in RANGES.items()
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
