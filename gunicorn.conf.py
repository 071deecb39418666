"""The production server's settings, each with its reason."""

from __future__ import annotations

from config import Config

_config = Config.from_env()

bind = f"{_config.host}:{_config.port}"

# Threads, because a cold request waits for a provider; two workers at least, because the threads of one share a lock.
# Ours is gunicorn's own with threads, which refuses in our error shape.
worker_class = "server.Worker"
workers = 2
threads = 16

# Without it the kernel hands most kept-alive connections to one of the workers.
reuse_port = True

# Longer than the 60 s for which nginx keeps an idle upstream connection, so that it is never nginx that is cut off.
keepalive = 75

# A cold request may take all tries of a read and all pages of a list; no request sleeps longer.
timeout = 120
graceful_timeout = 30

# What is longer is refused by the ring, in our error shape; this is the most that is ever read.
limit_request_line = 8190

# The ring writes the one log line of a request; this server's own would be a second.
accesslog = None
errorlog = "-"
loglevel = "warning"

# No control socket in anybody's home folder.
control_socket_disable = True
