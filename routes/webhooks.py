"""GET and POST /webhooks/instagram: Meta checks the callback URL, then delivers changes of accounts."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from pydantic import Field

from routes.context import services
from routes.query_parameters import AnyQuery
from routes.validation import fails_with, takes
from services.errors import BusyError, InvalidRequestError
from services.webhooks.errors import (
    DeliveryNotKeptError,
    SignatureInvalidError,
    SignatureMissingError,
    VerifyTokenInvalidError,
    WebhookNotConfiguredError,
)
from services.webhooks.handshake import WEBHOOK_PATH

bp = Blueprint("webhooks", __name__)


class HandshakeQuery(AnyQuery):
    """The query of Meta's check of a callback URL."""

    mode: str = Field(alias="hub.mode", description="`subscribe`.", examples=["subscribe"])
    token: str = Field(
        alias="hub.verify_token",
        description="The text of WEBHOOK_VERIFY_TOKEN, as it was entered in the app's dashboard.",
        examples=["sandbox-verify-token"],
    )
    challenge: str = Field(
        alias="hub.challenge", description="The text that the reply has to repeat.", examples=["1158201444"]
    )


SIGNATURE = "X-Hub-Signature-256"
PIECE = 64 * 1024  # bytes


@bp.get(WEBHOOK_PATH)
@takes(HandshakeQuery)
@fails_with(InvalidRequestError, WebhookNotConfiguredError, VerifyTokenInvalidError)
def handshake(query: HandshakeQuery) -> ResponseReturnValue:
    """Answer Meta's check of the callback URL with the bare challenge."""
    challenge = services().webhooks.challenge(query.mode, query.token, query.challenge)
    # It repeats what the query says. Its type and the headers of every reply keep a browser from taking it for a page.
    return Response(challenge, mimetype="text/plain", headers={"Cache-Control": "no-store"})


@bp.post(WEBHOOK_PATH)
@takes(AnyQuery)
@fails_with(WebhookNotConfiguredError, SignatureMissingError, SignatureInvalidError, DeliveryNotKeptError, BusyError)
def delivery(_: AnyQuery) -> ResponseReturnValue:
    """Keep a delivery of Meta and confirm it; what is in it is applied in the background."""
    webhooks, signature = services().webhooks, request.headers.get(SIGNATURE)
    with webhooks.room_for(signature, request.content_length or 0):
        webhooks.receive(signature, _body())
    response = jsonify({"status": "kept"})
    response.headers["Cache-Control"] = "no-store"
    return response


def _body() -> bytearray:
    """Return the body, read in pieces: `get_data` holds up to three copies of it."""
    body = bytearray()
    while piece := request.stream.read(PIECE):
        body += piece
    return body
