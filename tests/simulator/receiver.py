"""A callback for webhooks on a free port, which keeps what comes to it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

VERIFY_TOKEN = "sandbox-verify-token"


class Receiver:
    """Answers deliveries with each of `statuses`, then with 200; the handshake with `challenge` instead of its own."""

    def __init__(self, *, verify_token=VERIFY_TOKEN, challenge=None):
        self.statuses, self.bodies, self.headers, self.handshakes = [], [], [], []
        self.holds = threading.Event()  # Until it is set, no delivery is answered.
        self.holds.set()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                receiver.handshakes.append(query)
                is_known = query.get("hub.verify_token") == verify_token
                self._reply(200 if is_known else 403, (challenge or query["hub.challenge"]) if is_known else "")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.holds.wait(10)
                with receiver._lock:
                    receiver.bodies.append(body)
                    receiver.headers.append(dict(self.headers))
                    status = receiver.statuses.pop(0) if receiver.statuses else 200
                self._reply(status, "")

            def _reply(self, status, text):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}/webhooks/instagram"

    @property
    def contents(self):
        return [json.loads(body) for body in self.bodies]

    def stop(self):
        self.holds.set()
        self._server.shutdown()
        self._server.server_close()
