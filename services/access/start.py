"""What a live gateway needs before it starts: an API key, or an address that no other machine reaches."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol

from services.store.api_keys import ApiKeyTable
from services.store.database import DatabaseUnavailableError

CREATE = 'Create one with `make key ARGS="create NAME"`'


class Settings(Protocol):
    """The settings that decide it."""

    @property
    def sandbox(self) -> bool: ...  # noqa: D102
    @property
    def allow_anonymous(self) -> bool: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102


def why_not(keys: ApiKeyTable, settings: Settings, now: float) -> str | None:
    """Return why the gateway may not start at a moment (Unix seconds), with the next step, or None.

    While the database is unavailable it starts, as it does without other tables, and answers no request without a key.
    """
    allow_anonymous, host = settings.allow_anonymous, settings.host
    if settings.sandbox or (allow_anonymous and _is_loopback(host)):
        return None
    what, next_step = "There is no API key", CREATE
    try:
        if keys.has_valid(now):
            return None
    except DatabaseUnavailableError as error:
        if not allow_anonymous:
            return None
        what = f"The database is unavailable ({error}), so it is not known whether there is an API key"
        next_step = "Start again when it is back"
    if allow_anonymous:
        return (
            f"{what}, ALLOW_ANONYMOUS is true and HOST is {host}, so that other machines could spend "
            f"credits without a key. {next_step}, or set HOST=127.0.0.1."
        )
    return (
        f"There is no valid API key, so that no request could be answered. {CREATE}; or set ALLOW_ANONYMOUS=true, "
        "which answers requests without a key, on 127.0.0.1 only."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
