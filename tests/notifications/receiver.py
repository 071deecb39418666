"""A receiver of the outgoing webhook on a free port, which verifies each event by itself and answers as a test says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
HIDDEN = "pathTHATisAcredential77"
TOLERANCE = 300  # seconds


class EventReceiver:
    """Answers each delivery with the next of `answers` (status, headers, body), then with 204."""

    def __init__(self):
        self.answers, self.events, self.ids, self.seen = [], [], [], []
        self.now = time.time  # the clock by which the timestamp must not be old
        self.waits = 0.0  # seconds before each answer
        self.holds = threading.Event()  # Until it is set, no delivery is answered.
        self.holds.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.path, self.headers, body)
                time.sleep(receiver.waits)
                receiver.holds.wait(30)
                status, headers, answer = receiver.answers.pop(0) if receiver.answers else (204, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # The gateway hangs up on a body that it does not read.

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}/{HIDDEN}"

    @property
    def settings(self):
        return {"NOTIFY_URL": self.url, "NOTIFY_SECRET": SECRET}

    def take(self, path, headers, body):
        """Keep an event, after checking it as the specification says: from the bytes, not from what they mean."""
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        given = [each.partition(",") for each in headers["webhook-signature"].split(" ")]
        assert ("v1", ",", expected) in given
        assert abs(self.now() - int(headers["webhook-timestamp"])) < TOLERANCE
        assert path == f"/{HIDDEN}"
        self.seen.append(dict(headers))
        self.ids.append(headers["webhook-id"])
        self.events.append(json.loads(body))

    def wait_for(self, number, seconds=20):
        deadline = time.monotonic() + seconds
        while len(self.ids) < number:
            assert time.monotonic() < deadline, self.events
            time.sleep(0.02)

    def stop(self):
        self.holds.set()
        self._server.shutdown()
        self._server.server_close()
