"""The application factory: builds the services, mounts the routes, wraps Flask; importing it has no side effects."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

from flask import Flask

import logs
from config import Config, ConfigError
from front.authentication import Authentication
from front.middleware import Front
from front.rate_limit_replies import RateLimits
from routes import register_routes
from routes.application import GatewayApp
from routes.json_encoding import JsonEncoder
from services.access import start
from services.clock import Clock
from services.redaction import Redaction
from services.wiring.container import Services

log = logging.getLogger(__name__)


def create_app(config: Config | None = None, *, clock: Clock | None = None) -> Flask:
    """Build the gateway from its settings, by default those of the environment and `.env`.

    Raises `ConfigError` with everything that is missing or wrong, and `SchemaError` if `make migrate` has to be run.
    """
    config = config or Config.from_env()
    redaction = Redaction(config.secrets)
    logs.set_up(config.log_level, redaction)
    app = GatewayApp(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # A redirect would be a second form of error.
    app.json = JsonEncoder(app)
    clock = clock or Clock()
    services = Services.build(config, clock, redaction=redaction)
    services.store.check_versions()
    services.measurements.count_lost_lines(logs.lost_lines)
    app.extensions["services"] = services
    app.extensions["config"] = config
    app.extensions["redaction"] = redaction
    register_routes(app)
    app.extensions["front"] = app.wsgi_app = Front(  # type: ignore[method-assign]
        app.wsgi_app,
        authentication=Authentication(services.access_keys, allow_anonymous=config.sandbox or config.allow_anonymous),
        rates=RateLimits(services.request_rates),
        cache=services.cache,
        waiting_slots=services.waiting_slots,
        measurements=services.measurements,
        clock=clock,
        host=config.host,
        allowed_hosts=config.allowed_hosts,
        cors_origins=config.cors_origins,
        sandbox=config.sandbox,
        response_cache_bytes=config.response_cache_mb * 1024 * 1024,
        request_deadline=config.request_deadline,
        redaction=redaction,
    )
    log.info(
        "The gateway is ready",
        extra={
            "providers": config.providers,
            "instagram": "configured" if services.accounts.configured else "not configured",
            "modash": "configured" if config.modash_configured else "not configured",
            "graph_api_version": config.graph_api_version,
            "pid": os.getpid(),  # Each worker process logs this line.
        },
    )
    return app


if __name__ == "__main__":
    try:
        settings = Config.from_env()
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    if subprocess.run([sys.executable, "-m", "commands.migrate"], check=False).returncode:  # It says why.
        sys.exit(1)
    application = create_app(settings)
    keys = application.extensions["services"].store.api_keys
    if (why := start.why_not(keys, settings, Clock().timestamp())) is not None:
        raise SystemExit(str(ConfigError([why])))
    application.run(host=settings.host, port=settings.port)
