"""Which requests of browsers are answered: by the host that they name, and by the page that they come from.

A page of another site, open in a browser that reaches the gateway, could read numbers and spend credits with plain
requests: an image, a form, a script, a link. Browsers say in `Sec-Fetch-Site` and `Origin` what a request comes from
(https://www.w3.org/TR/fetch-metadata/), and no page can change these headers. A page whose domain name is made to
point to the gateway (DNS rebinding) counts as one of the same site, so the name itself is checked, in `Host`.
Other callers, such as curl and servers, send neither `Origin` nor `Sec-Fetch-Site`.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING

from front.origins_and_hosts import ANY, AUTHORITY, host_of, is_address, read_host
from front.request_limits import Refusal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
EVERY_ADDRESS = ("0.0.0.0", "[::]")  # noqa: S104  # They are compared with, not bound to.
OWN_SITES = frozenset({None, "same-origin", "none"})  # `none` is a person who typed the address
# A link on any page may lead here: they read no provider and no kept number.
LINKED_PATHS = frozenset({"/healthz", "/openapi.json"})
MOST_KNOWN = 100  # spellings of `Host`, with their ports, that are found without being parsed

HOST_MISSING = Refusal(  # RFC 9112, section 3.2
    HTTPStatus.BAD_REQUEST,
    "The request has no `Host` header.",
    "Accepted: HTTP/1.1 with one `Host` header, or HTTP/1.0.",
)
HOST_NOT_ALLOWED = Refusal(
    HTTPStatus.FORBIDDEN,
    "The gateway does not answer under this host name.",
    "Accepted: the hosts of ALLOWED_HOSTS, the address that the gateway is bound to, and localhost. Behind a proxy, "
    "pass the caller's Host on and list it in ALLOWED_HOSTS.",
    "host_not_allowed",
)
ORIGIN_NOT_ALLOWED = Refusal(
    HTTPStatus.FORBIDDEN,
    "Pages of this origin may not call the gateway.",
    "Accepted: pages of the origins in CORS_ORIGINS with fetch() in its mode cors, the gateway's own pages, and "
    "callers that are no browser.",
    "origin_not_allowed",
)


class HostAndOriginCheck:
    """Refuses requests for other hosts, and those that pages of other sites send."""

    def __init__(self, *, hosts: Collection[str], bound: str, origins: Collection[str]) -> None:
        """`hosts` and `origins` are as browsers write them; `bound` is the address that the gateway listens on."""
        bound_host = _bound_host(bound)
        self._hosts = frozenset({*hosts, *LOCAL_HOSTS, bound_host})
        self._allows_any_host = ANY in hosts
        # A name can be made to point to any address; an address is always that of the machine that it names.
        self._allows_addresses = bound_host in EVERY_ADDRESS
        self._known_hosts = {"", *self._hosts}
        self._origins = frozenset(origins)
        self._allows_any_origin = ANY in origins

    def refusal_of(self, environ: WSGIEnvironment) -> Refusal | None:
        """Return why a request is refused, or None. It costs four looks into dictionaries."""
        host = environ.get("HTTP_HOST", "")  # HTTP/1.0 has none; every browser sends one
        if not host and "HTTP_HOST" not in environ and environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
            return HOST_MISSING
        if host not in self._known_hosts and not self._allows_host(host):
            return HOST_NOT_ALLOWED
        target = environ.get("RAW_URI", "/")
        if not target.startswith("/") and not self._allows_target(target):
            return HOST_NOT_ALLOWED
        origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")
        if (origin is None and site in OWN_SITES) or self._allows_page(environ, origin, site):
            return None
        return ORIGIN_NOT_ALLOWED

    def _allows_host(self, header: str) -> bool:
        host = host_of(header)
        allowed = self._allows_any_host or host in self._hosts or (self._allows_addresses and is_address(host))
        if allowed and len(self._known_hosts) < MOST_KNOWN:
            self._known_hosts.add(header)
        return allowed

    def _allows_target(self, target: str) -> bool:
        """Return whether a target may be requested; a host in it counts more than `Host` (RFC 9112, section 3.2.2)."""
        _, has_scheme, rest = target.partition("://")
        return not has_scheme or self._allows_host(AUTHORITY.match(rest)[0])  # type: ignore[index]  # It always matches.

    def _allows_page(self, environ: WSGIEnvironment, origin: str | None, site: str | None) -> bool:
        if origin is None:  # an image, a link and whatever else is not fetched in mode cors
            is_link = (
                environ.get("HTTP_SEC_FETCH_MODE") == "navigate" and environ.get("HTTP_SEC_FETCH_DEST") == "document"
            )
            return is_link and environ.get("PATH_INFO") in LINKED_PATHS and environ["REQUEST_METHOD"] in {"GET", "HEAD"}
        if self._allows_any_origin or origin in self._origins:
            return True
        if site is not None:
            return site in OWN_SITES
        # A browser sends no Sec-Fetch-Site over plain HTTP, save to the machine that it runs on.
        own_host: str = environ.get("HTTP_HOST", "").lower()
        return origin.partition("://")[2] == own_host


def _bound_host(address: str) -> str:
    try:
        return read_host(address)
    except ValueError:
        return address
