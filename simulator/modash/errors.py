"""Refusals of the Discovery API."""

from dataclasses import dataclass
from typing import Any

from simulator.messages import Reply


@dataclass(eq=False)
class ModashError(Exception):
    """A refusal with its HTTP status and code."""

    status: int
    code: str | int
    message: str

    def reply(self) -> Reply:
        """Return it in the vendor's envelope."""
        return Reply.json(self.status, {"error": True, "code": self.code, "message": self.message})


def key_invalid(status: int) -> ModashError:
    """Return the refusal of a missing or wrong key."""
    return ModashError(status, "api_token_invalid", "The API token is missing or not valid.")


def no_credits(status: int = 403) -> ModashError:
    """Return the refusal for an empty balance."""
    return ModashError(status, "not_enough_credits", "You do not have enough credits for this request.")


def retry_later(shape: str, status: int | None) -> Reply:
    """Return the answer for a report that is not ready: the vendor's envelope, the seed's body, or both in one."""
    message = "The data is being prepared. Please try again in a few minutes."
    bodies: dict[str, dict[str, Any]] = {
        "vendor": {"error": True, "code": "retry_later", "message": message},
        "seed": {"status": "retry_later", "message": message},
        "mixed": {"error": True, "code": "retry_later", "status": "retry_later", "message": message},
    }
    return Reply.json(status or (200 if shape == "seed" else 400), bodies[shape])


def rate_limited(retry_after: float | None, *, is_json: bool) -> Reply:
    """Return the answer to one call too many."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    if is_json:
        body = {"error": True, "code": "rate_limit_exceeded", "message": "Too many requests. Please slow down."}
        return Reply.json(429, body, headers)
    return Reply(429, b"Too Many Requests\n", headers, "text/plain")
