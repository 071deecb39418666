"""Origins and hosts as browsers write them: what the settings give is brought to that form, or refused."""

from __future__ import annotations

import re
import socket
from ipaddress import AddressValueError, IPv6Address

import idna

ANY = "*"
DEFAULT_PORTS = {"http": "80", "https": "443"}
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
MAX_HOST = 253  # characters, of the domain name system
NUMBER = re.compile(r"\d+|0x[0-9a-f]*")  # A browser reads a host whose last part is one as an IPv4 address.
AUTHORITY = re.compile(r"[^/?#\\]*")
WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d*))?")


def read_origin(text: str) -> str:
    """Return an origin as browsers send it: in lower case, without a default port, in Punycode; or `*`.

    Raises `ValueError` with the reason, and with the right spelling where there is one.
    """
    if text == ANY:
        return text
    if text.lower() == "null":
        raise ValueError("null is what browsers send for pages without an origin, of any site; it cannot be listed")
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    faults = []
    if not separator:
        scheme, rest = "https", text
        faults.append("it has no scheme")
    elif scheme not in DEFAULT_PORTS:
        raise ValueError("its scheme is neither http nor https")
    authority = AUTHORITY.match(rest)[0]  # type: ignore[index]  # It matches every text.
    if rest[len(authority) :] not in {"", "/"}:
        faults.append("an origin ends with its host and port")
    credentials, _, address = authority.rpartition("@")
    if credentials:
        faults.append("it has a username or a password")
    host, port = _split(address)
    suffix = "" if port in {"", DEFAULT_PORTS[scheme]} else f":{port}"
    right = f"{scheme}://{read_host_name(host)}{suffix}"
    if faults:
        raise ValueError(f"{' and '.join(faults)}; write {right}")
    return right


def read_host(text: str) -> str:
    """Return a host as browsers send it, without a port; or `*`. Raises `ValueError` as `read_origin` does."""
    if text == ANY:
        return text
    _, scheme, rest = text.rpartition("://")
    address = AUTHORITY.match(rest)[0].rpartition("@")[2]  # type: ignore[index]  # It matches every text.
    if _is_ipv6(address):
        address = f"[{address}]"
    host, port = _split(address)
    name = read_host_name(host).rstrip(".")
    if scheme or rest != AUTHORITY.match(rest)[0] or "@" in rest:  # type: ignore[index]
        raise ValueError(f"it is a URL, not a host; write {name}")
    if port:
        raise ValueError(f"a host has any port; write {name}")
    return name


def read_host_name(text: str) -> str:
    """Return the name or address in a URL, as browsers write it. Raises `ValueError` with the reason."""
    if "*" in text:
        raise ValueError("a * within a host matches none; list each host, or write * alone for all")
    if text.startswith("["):
        return f"[{_ipv6(text[1:-1])}]"
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except idna.IDNAError:
        raise ValueError("its host has a character that no host has") from None
    labels = name.removesuffix(".").split(".")
    if not name or len(name) > MAX_HOST or not all(LABEL.fullmatch(label) for label in labels):
        raise ValueError("its host is none: letters, digits, - and dots, such as app.example")
    if NUMBER.fullmatch(labels[-1]):
        try:
            return socket.inet_ntoa(socket.inet_aton(name.removesuffix(".")))
        except OSError:
            raise ValueError("its host ends with a number and is no IPv4 address") from None
    return name


def host_of(header: str) -> str:
    """Return the host in a `Host` header, without its port and a dot at its end; empty if there is none."""
    found = WITH_PORT.fullmatch(header.lower())
    if found is None:
        return ""
    try:
        return f"[{_ipv6(found[1][1:-1])}]" if found[1].startswith("[") else found[1].removesuffix(".")
    except ValueError:
        return ""


def is_address(host: str) -> bool:
    """Return whether a host is an IP address in the form of a URL."""
    if host.startswith("["):
        return True
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) == host
    except OSError:
        return False


def _split(authority: str) -> tuple[str, str]:
    """Return host and port of an authority; a port without leading zeros, or empty."""
    found = WITH_PORT.fullmatch(authority)
    if found is None:
        raise ValueError("its host or port cannot be read; an IPv6 address is in brackets")
    port = (found[2] or "").lstrip("0")
    if found[2] and not (port and len(port) <= 5 and int(port) <= 65_535):  # noqa: PLR2004  # The largest port.
        raise ValueError("its port is not from 1 to 65535")
    return found[1], port


def _is_ipv6(text: str) -> bool:
    try:
        return bool(_ipv6(text))
    except ValueError:
        return False


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise ValueError("its IPv6 address is none") from None
    if address.scope_id:
        raise ValueError("its IPv6 address has a zone, which no URL has")
    return address.compressed
