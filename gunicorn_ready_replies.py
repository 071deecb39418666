"""Replies of the response cache, made on the thread that watches a worker's connections.

gunicorn gives each request to a thread of its pool, which costs several times what such a reply takes: two threads are
woken, and each system call on the way passes the interpreter lock on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gunicorn.http import get_parser, wsgi
from gunicorn.http.errors import ParseException

if TYPE_CHECKING:
    from front.middleware import Front

log = logging.getLogger(__name__)

GET = b"GET "
END_OF_HEAD = b"\r\n\r\n"
KEY_HEADERS = (b"\nauthorization:", b"\nx-api-key:")
# With one of these headers there is more to read than the head, or something else to do than to answer.
OTHER_REQUESTS = frozenset({"CONTENT-LENGTH", "TRANSFER-ENCODING", "EXPECT", "UPGRADE"})


class ReadyReplies:
    """Makes whole replies from whole requests. It reads no socket and never waits."""

    def __init__(self, cfg: Any, front: Front) -> None:
        """`cfg` is gunicorn's configuration."""
        self._cfg = cfg
        self._front = front

    def reply_to(self, received: bytes, conn: Any) -> bytes | None:
        """Return the reply to what was received on a connection that stays open, or None where a thread has to answer.

        That is so for all but one whole GET without a body, with a reply in the response cache. The request is read by
        gunicorn's own parser, so that what it refuses is refused by the usual way.
        """
        if not received.startswith(GET) or received.find(END_OF_HEAD) != len(received) - len(END_OF_HEAD):
            return None
        if not self._may_be_ready(received):
            return None
        try:
            return self._reply_to(received, conn)
        except ParseException:
            return None
        except Exception:
            # Raised here, it would end the worker, with the requests of all its connections.
            log.exception("A ready reply could not be made; the request is answered in the usual way")
            return None

    def _may_be_ready(self, received: bytes) -> bool:
        """Return whether a request is worth being parsed, which costs more than all else here.

        One with an API key always is: the time may not depend on what others have asked for.
        """
        head = received.lower()
        if any(name in head for name in KEY_HEADERS):
            return True
        return self._front.may_be_ready(received[len(GET) : received.find(b" ", len(GET))].decode("latin-1"))

    def _reply_to(self, received: bytes, conn: Any) -> bytes | None:
        request = next(get_parser(self._cfg, iter((received,)), conn.client))
        if (
            request.should_close()
            or ends_connection(request)
            or any(name in OTHER_REQUESTS for name, _ in request.headers)
        ):
            return None
        reply = _Output()
        response, environ = wsgi.create(request, reply, conn.client, conn.server, self._cfg)
        environ["wsgi.multithread"] = True
        parts = self._front.ready_reply(environ, response.start_response)
        if parts is None:
            return None
        for part in parts:
            response.write(part)
        response.close()
        return bytes(reply.sent)


def ends_connection(request: Any) -> bool:
    """Return whether a request wants its connection closed (RFC 9112, section 9.3).

    gunicorn reads the first `Connection` header only, and in it no list of options.
    """
    options = (value for name, value in request.headers if name == "CONNECTION")
    return any(option.strip(" \t").lower() == "close" for value in options for option in value.split(","))


class _Output:
    """What gunicorn writes a reply to, instead of a socket."""

    def __init__(self) -> None:
        self.sent = bytearray()

    def sendall(self, data: bytes) -> None:
        """Take a part of the reply."""
        self.sent += data
