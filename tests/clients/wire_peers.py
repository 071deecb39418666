"""Servers on sockets that misbehave in ways no library would, as a provider or as a proxy before it."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "modash.example"  # to be reached through a proxy only
PATIENCE = 10.0  # seconds for one connection


def make_certificate(folder):
    """Write a key with a self-signed certificate for this machine and `HOST`; return the path of both in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    names = [x509.DNSName("localhost"), x509.DNSName(HOST)]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / "tests.pem"
    path.write_bytes(pem)
    return str(path)


class Peer:
    """Serves each connection with one function; counts the requests that reach the provider's side."""

    def __init__(self, serve, certificate):
        self._serve = serve
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.requests = []  # their request lines
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def secured(self, connection):
        """Make the server's side of TLS."""
        return self._context.wrap_socket(connection, server_side=True)

    def request(self, connection):
        """Read one request of the provider's API; return its creator, or None where the connection ends."""
        head = read_head(connection)
        if not head:
            return None
        line = head.split(b"\r\n")[0].decode()
        self.requests.append(line)
        return line.partition("url=")[2].partition(" ")[0]

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(PATIENCE)
            threading.Thread(target=self._run, args=[connection], daemon=True).start()

    def _run(self, connection):
        with connection, contextlib.suppress(OSError):
            self._serve(self, connection)


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        if not (piece := connection.recv(65536)):
            return b""
        head += piece
    return head


def answer(body, status=200, *headers):
    """The bytes of an answer with the length of its body."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reset(connection):
    """Close a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# The server's side of TLS, and what breaks it


def closes_at_once(_peer, connection):
    connection.close()


def never_answers(_peer, connection):
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def speaks_plain_http(_peer, connection):
    connection.recv(65536)
    connection.sendall(answer(b"The plain HTTP request was sent to HTTPS port", 400))


def breaks_the_handshake(_peer, connection):
    connection.recv(65536)
    connection.sendall(b"\x16\x03\x03\x00\x05nonsense")


def closes_in_the_handshake(_peer, connection):
    connection.recv(100)
    reset(connection)


def after_the_request(then):
    """Serve TLS and read one request; `then` decides what becomes of the answer."""

    def serve(peer, connection):
        with peer.secured(connection) as secure:
            if peer.request(secure) is not None:
                then(secure)

    return serve


def breaks_the_record(secure):
    os.write(secure.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    time.sleep(0.05)


def sends_plain_bytes(secure):
    os.write(secure.fileno(), answer(b"{}"))
    time.sleep(0.05)


def breaks_the_record_in_the_body(secure):
    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    breaks_the_record(secure)


def resets(secure):
    reset(secure)


def ends_in_silence(secure):
    secure.shutdown(socket.SHUT_RDWR)


def waits_too_long(secure):
    with contextlib.suppress(OSError):
        secure.recv(1)


def sends(*pieces, pause=0.0):
    def then(secure):
        for piece in pieces:
            secure.sendall(piece)
            time.sleep(pause)

    return then


# Proxies


def proxy(status, then=None, body=b""):
    """A proxy that answers CONNECT with a status; `then` is what stands behind its tunnel."""

    def serve(peer, connection):
        head = read_head(connection)
        assert head.startswith(b"CONNECT "), head
        length = b"" if status < 300 else f"Content-Length: {len(body)}\r\n".encode()
        connection.sendall(f"HTTP/1.1 {status} Whatever\r\n".encode() + length + b"\r\n" + body)
        if then is not None:
            then(peer, connection)

    return serve


def proxy_that_hangs_up(_peer, connection):
    read_head(connection)
    connection.close()


def proxy_of_nonsense(_peer, connection):
    read_head(connection)
    connection.sendall(b"nonsense\r\n\r\n")
