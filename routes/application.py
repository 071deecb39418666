"""The Flask application, without what the gateway makes no use of in each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class WithoutSession(SessionInterface):
    """No session: the gateway sets no cookie and reads none."""

    def __init__(self) -> None:
        self._session = NullSession()  # It refuses every change, so all requests may share it.

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """Return what refuses to be used."""
        return self._session


OF_REQUEST = {"return_rule": True}  # how Flask has the path and the method of a request matched
Rules = Mapping[tuple[str, str], Rule]  # by path and method


class PathMatcher(MapAdapter):
    """Matches the path of a request, and notes its pattern for the metrics.

    A path without variable parts takes one look; werkzeug's own way takes it apart each time.
    """

    def __init__(self, rules: Rules, environ: WSGIEnvironment, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._rules = rules
        self._environ = environ

    def match(self, *arguments: Any, **options: Any) -> Any:
        """Return the rule of the request with the values of its variable parts, or raise as werkzeug does."""
        if arguments or options != OF_REQUEST:
            return super().match(*arguments, **options)
        rule, values = self._rules.get((self.path_info, self.default_method)), dict[str, Any]()
        if rule is None:
            rule, values = cast("tuple[Rule, dict[str, Any]]", super().match(return_rule=True))
        self._environ["insights.route"] = rule.rule
        return rule, values


class GatewayApp(Flask):
    """Flask, whose routes depend on the path only: `front` has checked the host, and no URL is built.

    It has no session, no view that is a coroutine, no function that is called before a request, after it or at its end,
    and sends no signal then. To look for them takes a quarter of the time of a request with an empty view.
    """

    session_interface = WithoutSession()

    @cached_property
    def _rules_of_paths(self) -> Rules:
        """The rules without variable parts. They are complete: after the first request Flask accepts no other one."""
        rules = [rule for rule in self.url_map.iter_rules() if not rule.arguments]
        return {(rule.rule, method): rule for rule in rules for method in rule.methods or ()}

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, which is no coroutine."""
        return func

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Call what was registered to be called before a request, which the gateway has nothing of."""
        if not self.before_request_funcs and not self.url_value_preprocessors:
            return None
        return super().preprocess_request()

    def finalize_request(self, rv: ResponseReturnValue | HTTPException, from_error_handler: bool = False) -> Response:
        """Return what a view or the handler of its failure returned as a response."""
        return self.make_response(rv)

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
        return PathMatcher(
            self._rules_of_paths,
            environ,
            self.url_map,
            environ.get("HTTP_HOST", ""),
            environ.get("SCRIPT_NAME") or "/",
            "",
            environ["wsgi.url_scheme"],
            path,
            environ["REQUEST_METHOD"],
            environ.get("QUERY_STRING"),
        )
