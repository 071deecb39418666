"""The failures of the webhook: of its handshake, and of deliveries."""

from __future__ import annotations

from services.errors import InsightsError


class WebhookNotConfiguredError(InsightsError):
    """The gateway lacks what it needs to check a handshake or a delivery."""

    status = 503
    usual_wait = 300
    code = "webhook_not_configured"


class VerifyTokenInvalidError(InsightsError):
    """The handshake has another verify token than the gateway."""

    status = 403
    code = "verify_token_invalid"


class SignatureMissingError(InsightsError):
    """The delivery has no signature."""

    status = 401
    code = "signature_missing"


class SignatureInvalidError(InsightsError):
    """The delivery is not signed with an app secret of the gateway."""

    status = 403
    code = "signature_invalid"


class DeliveryNotKeptError(InsightsError):
    """The delivery could not be stored, so the provider has to send it again."""

    status = 503
    usual_wait = 5
    code = "delivery_not_kept"
