"""Whether a server can listen on an address, and why not: taken, foreign, unknown, reserved."""

from __future__ import annotations

import errno
import socket

OWN_ADDRESSES = "Use 127.0.0.1 or ::1 (this machine only), 0.0.0.0 or :: (every address), or one of its own."


def why_unusable(host: str, port: int, *, setting: str, shared: bool = False) -> str | None:
    """Return why no server can listen on an address, or None if one can; `setting` names the setting of the port.

    A `shared` port may be in use by a server that shares it too, as gunicorn's workers do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET  # As gunicorn chooses it.
    try:
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
    except socket.gaierror:
        return f"HOST is {host}, which is no address or known name. {OWN_ADDRESSES}"
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind(address)
    except OSError as error:
        return _reason(error, host, port, setting)
    return None


def _reason(error: OSError, host: str, port: int, setting: str) -> str:
    another = f"Choose another: {setting}={port + 10_000 if port < 50_000 else port - 10_000}."  # noqa: PLR2004
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken. {another}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST is {host}, which is not an address of this machine. {OWN_ADDRESSES}"
    if error.errno == errno.EAFNOSUPPORT:
        return f"HOST is {host}, but this machine has no IPv6. {OWN_ADDRESSES}"
    if error.errno == errno.EACCES:
        return f"Port {port} is reserved: this user may not listen on it. {another}"
    return f"Nothing can listen on port {port} of {host}: {error.strerror}."
