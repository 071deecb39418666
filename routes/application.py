"""The Flask application, without what the gateway makes no use of in each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter


class WithoutSession(SessionInterface):
    """No session: the gateway sets no cookie and reads none."""

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return what refuses to be used."""
        return NullSession()


class GatewayApp(Flask):
    """Flask, whose routes depend on the path only: `front` has checked the host, and no URL is built.

    It sends no signals, and has no session, no coroutine as a view, and no function that is called after a request or
    at its end. To look for them takes a quarter of the time of a request with an empty view.
    """

    session_interface = WithoutSession()

    def full_dispatch_request(self) -> Response:
        """Return the response of the view, or of the handler of its failure."""
        self._got_first_request = True
        try:
            reply = self.preprocess_request()
            if reply is None:
                reply = self.dispatch_request()
        except Exception as error:  # noqa: BLE001  # It is for the handlers, which raise again what they do not know.
            reply = self.handle_user_exception(error)
        return self.make_response(reply)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, which is none of coroutines."""
        return func

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Do nothing at the end of a request."""

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Do nothing at the end of a request."""

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
