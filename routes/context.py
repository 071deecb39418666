"""The services and settings of the running application, for the views."""

from __future__ import annotations

from typing import cast

from flask import Request, current_app, request

from config import Config
from services.redaction import Redaction
from services.wiring.container import Services


def services() -> Services:
    """Return the services of the running application."""
    return cast(Services, _extension("services"))


def config() -> Config:
    """Return the settings of the running application."""
    return cast(Config, _extension("config"))


def redaction() -> Redaction:
    """Return what takes the credentials of the running application out of texts."""
    return cast(Redaction, _extension("redaction"))


def current_request() -> Request:
    """Return the request itself: each attribute of `flask.request` is another look for it."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def _extension(name: str) -> object:
    return current_app._get_current_object().extensions[name]  # type: ignore[attr-defined]  # As above.
