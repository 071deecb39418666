"""The two logins to Instagram's data, and how the calls of each are made."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Login:
    """One of the two logins: its name, and what differs between them on the wire.

    https://developers.facebook.com/docs/instagram-platform/overview
    """

    name: str
    id_field: str  # the professional id: by the Instagram login `id` is another one, scoped to the app
    is_signed: bool  # whether appsecret_proof is known to be accepted


LOGINS: Mapping[str, Login] = {
    "facebook": Login("facebook", "id", is_signed=True),
    "instagram": Login("instagram", "user_id", is_signed=False),
}

GRAPH_HOSTS: Mapping[str, str] = {"facebook": "graph.facebook.com", "instagram": "graph.instagram.com"}
TOKEN_PREFIXES: Mapping[str, str] = {"EAA": "facebook", "IGAA": "instagram"}  # Other prefixes occur with both logins.


def login_of(token: str) -> str | None:
    """Return the login that a token belongs to, where its prefix says so."""
    return next((login for prefix, login in TOKEN_PREFIXES.items() if token.startswith(prefix)), None)


class Host:
    """The address of a login, and where in a call its tokens go, as far as that is known."""

    def __init__(self, login: Login, base_url: str, auth_in: str) -> None:
        self.login = login
        self.base_url = base_url
        self._lock = threading.Lock()
        self._in_query = auth_in == "query"
        self._may_change_place = auth_in == "auto" and login.name == "instagram"

    @property
    def in_query(self) -> bool:
        """Whether tokens go into the query instead of the header."""
        return self._in_query

    @property
    def may_take_query(self) -> bool:
        """Whether a token that was refused in the header may be accepted in the query."""
        return self._in_query or self._may_change_place

    def understood(self, *, in_query: bool) -> None:
        """Note where a token was accepted; every later call sends its token there."""
        with self._lock:
            self._in_query = self._in_query or in_query
            self._may_change_place = False
