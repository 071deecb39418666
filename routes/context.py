"""The services and settings of the running application, for the views."""

from __future__ import annotations

from typing import cast

from flask import Request, current_app, request

from config import Config
from services.wiring.container import Services


def services() -> Services:
    """Return the services of the running application."""
    return cast(Services, current_app.extensions["services"])


def config() -> Config:
    """Return the settings of the running application."""
    return cast(Config, current_app.extensions["config"])


def current_request() -> Request:
    """Return the request itself: each attribute of `flask.request` is another look for it."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]


def note_route() -> None:
    """Note the pattern of the path of this request, for the metrics."""
    current = current_request()
    if current.url_rule is not None:
        current.environ["insights.route"] = current.url_rule.rule
