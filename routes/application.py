"""The Flask application, without what the gateway makes no use of in each request."""

from __future__ import annotations

from flask import Flask, Request
from werkzeug.routing import MapAdapter


class GatewayApp(Flask):
    """Flask, whose routes depend on the path only: `front` has checked the host, and no URL is built."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what matches the path of a request; werkzeug's own way parses the host and the query too."""
        if request is None:
            return None
        environ = request.environ
        path = request.path if environ.get("PATH_INFO") else ""
        return MapAdapter(
            self.url_map,
            environ.get("HTTP_HOST", ""),
            environ.get("SCRIPT_NAME") or "/",
            "",
            environ["wsgi.url_scheme"],
            path,
            environ["REQUEST_METHOD"],
            environ.get("QUERY_STRING"),
        )
