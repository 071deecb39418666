"""The table of contents: every blueprint and its prefix."""

from __future__ import annotations

from flask import Flask

from routes import (
    account_insights,
    accounts,
    audience,
    capabilities,
    compare,
    documentation,
    errors,
    export,
    growth_trends,
    history,
    media_insights,
    operations,
    performance_data,
    status,
    stories,
    top_posts,
    webhooks,
)


def register_routes(app: Flask) -> None:
    """Mount every blueprint and the error handlers."""
    app.register_blueprint(account_insights.bp)
    app.register_blueprint(growth_trends.bp)
    app.register_blueprint(compare.bp)
    app.register_blueprint(history.bp)
    app.register_blueprint(top_posts.bp)
    app.register_blueprint(audience.bp)
    app.register_blueprint(media_insights.bp)
    app.register_blueprint(capabilities.bp)
    app.register_blueprint(accounts.bp)
    app.register_blueprint(stories.bp)
    app.register_blueprint(export.bp)
    app.register_blueprint(performance_data.bp)
    app.register_blueprint(status.bp)
    app.register_blueprint(operations.bp)
    app.register_blueprint(webhooks.bp)
    app.register_blueprint(documentation.bp)
    errors.register(app)
