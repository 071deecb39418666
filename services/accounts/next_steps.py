"""What to do about a token that is of no use, or will not be for long; it depends on where the token was given."""

from __future__ import annotations

from collections.abc import Collection

WHERE = {"facebook": "docs/set-up.md, step 5", "instagram": "docs/set-up.md, The Instagram login"}


class TokenSteps:
    """The one place that makes these texts, for callers, logs, events and commands."""

    def __init__(self, exchangeable: Collection[str]) -> None:
        """Build it; `exchangeable` are the logins whose tokens can be exchanged, because the app's secret is set."""
        self._exchangeable = exchangeable

    def generate(self, login: str, *, is_configured: bool) -> str:
        """Return how to give a new token, as a clause; `is_configured` is for the token of the settings."""
        if is_configured:
            return f"Generate a new long-lived token ({WHERE[login]}), set ACCESS_LONG_LIVED_TOKEN to it and restart"
        if login in self._exchangeable:
            return with_connect(login)
        command = "make connect ARGS=--long-lived"
        if login == "facebook":
            command = 'make account ARGS="add --login facebook --page-id <page id>"'
        return f"Generate a new long-lived token ({WHERE[login]}) and run `{command}` with it"

    def until_end_is_known(self) -> str:
        """Return what to know of a token of the Instagram login whose end is unknown: it may live for an hour only."""
        if "instagram" in self._exchangeable:
            return "The worker finds that out within minutes, and exchanges a token that lives for an hour."
        return (
            "A token that was not generated in the app's dashboard may end within an hour: set INSTAGRAM_APP_ID and "
            "INSTAGRAM_APP_SECRET, and run `make connect` with it, which exchanges it."
        )

    def renewal(self, login: str, *, is_configured: bool) -> str:
        """Return the next step for a token that has to be replaced, as a sentence."""
        clause = self.generate(login, is_configured=is_configured)
        is_any = not is_configured and login in self._exchangeable
        other = f', or `make account ARGS="add --login {login}"` with a long-lived one' if is_any else ""
        return f"For the operator: {clause[0].lower()}{clause[1:]}{other}."


def with_connect(login: str) -> str:
    """Return how to give a new token with `make connect`, which exchanges it."""
    return f"Generate a new token ({WHERE[login]}) and run `make connect` with it"
