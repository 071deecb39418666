"""The edge `subscriptions` of the app: where deliveries go, and of which fields; the app's dashboard sets the same.

https://developers.facebook.com/docs/graph-api/reference/app/subscriptions
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from simulator.graph.errors import GraphError, missing_object, parameter
from simulator.graph.parameters import check_one_of, listed
from simulator.graph.scope import Scope
from simulator.graph.subscribed_apps import INSTAGRAM_FIELDS
from simulator.messages import BadInputError
from simulator.webhooks.changes import OBJECT
from simulator.webhooks.sender import HandshakeError
from simulator.webhooks.webhooks import Webhooks
from simulator.world.accounts import APP_ID

LOGIN = "facebook"  # The app of an Instagram login is set up in its dashboard only.

Json = Mapping[str, Any]


def app_subscriptions(scope: Scope, webhooks: Webhooks) -> Json:
    """Answer GET, POST and DELETE of the edge, which only the app itself may call."""
    if scope.caller.account is not None:
        raise GraphError("(#15) This method must be called with an app access_token.", 15)
    match scope.request.method:
        case "GET" | "HEAD":
            return {"data": _described(scope, webhooks)}
        case "POST":
            _register(scope.request.query, webhooks)
        case "DELETE":
            webhooks.unregister(LOGIN)
        case method:
            raise missing_object(APP_ID, method=method.lower())
    return {"success": True}


def _register(query: Mapping[str, str], webhooks: Webhooks) -> None:
    for name in ("object", "callback_url", "fields", "verify_token"):
        if not query.get(name):
            raise parameter(f"The parameter {name} is required.")
    check_one_of("Param object", query["object"], (OBJECT,))
    fields = listed(query["fields"])
    for place, field in enumerate(fields):
        check_one_of(f"Param fields[{place}]", field, INSTAGRAM_FIELDS)
    given = {"callback_url": query["callback_url"], "verify_token": query["verify_token"], "fields": fields}
    try:
        webhooks.register({"login": LOGIN, **given, "sending": webhooks.sending})
    except HandshakeError as error:
        raise _failed(error.status) from error
    except BadInputError as error:
        raise parameter("Param callback_url must be a valid URL") from error


def _failed(status: int | None) -> GraphError:
    reason = "curl_errno = 7; curl_error = Failed to connect"
    if status is not None:
        reason = f"HTTP Status Code = {status}; HTTP Message = {_phrase(status)}"
    return GraphError(f"(#2200) Callback verification failed with the following errors: {reason}", 2200)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _described(scope: Scope, webhooks: Webhooks) -> list[Json]:
    callback = webhooks.callback(LOGIN)
    if callback is None:
        return []
    fields = [{"name": field, "version": scope.version} for field in callback.fields]
    return [{"object": OBJECT, "callback_url": callback.url, "active": True, "fields": fields}]
