"""The signature of a delivery: Meta signs the bytes that it sends with the secret of an app."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from services.webhooks.errors import SignatureInvalidError, SignatureMissingError, WebhookNotConfiguredError

_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})", re.ASCII)
_ACCEPTED = "Accepted: X-Hub-Signature-256: sha256=<hex>."


class SignatureCheck:
    """Checks signatures against the app secrets."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """`secrets` are the app secrets by login; an empty one signs nothing."""
        self._secrets = {login: secret.encode() for login, secret in secrets.items() if secret}

    def well_formed(self, signature: str | None) -> bytes:
        """Return the bytes of a signature; raise the failure of one that no body can have."""
        if not self._secrets:
            raise WebhookNotConfiguredError(
                "The gateway has no app secret, so it can verify no delivery.",
                hint="For the operator: set APP_SECRET (login with Facebook) or INSTAGRAM_APP_SECRET.",
            )
        if not signature:
            raise SignatureMissingError("The delivery has no signature.", hint=_ACCEPTED)
        if (found := _SIGNATURE.fullmatch(signature)) is None:
            raise SignatureInvalidError("The signature has the wrong form.", hint=_ACCEPTED)
        return bytes.fromhex(found[1])

    def signer_of(self, body: bytes | bytearray, signature: str | None) -> str:
        """Return the login whose app secret signed a body; raise the failure where none did.

        The signature is over the bytes as they were sent: Meta escapes characters outside ASCII, so JSON that is
        written again has another one. The comparison takes the same time wherever two signatures differ.
        """
        given = self.well_formed(signature)
        signers = [
            login
            for login, secret in self._secrets.items()
            if hmac.compare_digest(hmac.new(secret, body, hashlib.sha256).digest(), given)
        ]
        if not signers:
            raise SignatureInvalidError(
                "The delivery is signed with neither app secret.",
                hint="For the operator: APP_SECRET signs deliveries of the login with Facebook, "
                "INSTAGRAM_APP_SECRET those of the Instagram login.",
            )
        return signers[0]
