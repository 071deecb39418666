"""The production server's settings, each with its reason."""

from __future__ import annotations

from config import Config, ConfigError
from services.store import SchemaError, Store

try:
    _config = Config.from_env()
    _store = Store.open(_config.database_url, _config.instance_path)
    _store.check_versions()
    _store.close()  # Connections must not live through a fork.
except (ConfigError, SchemaError) as error:
    # Its text goes to stderr, with status 1; gunicorn would show any other exception with a traceback.
    raise SystemExit(str(error)) from None

bind = f"{_config.host}:{_config.port}"

# Threads, because a cold request waits for a provider; two workers at least, because the threads of one share a lock.
# Ours is gunicorn's own with threads, which refuses in our error shape.
worker_class = "server.Worker"
workers = 2
# One for each place to wait in, and some for what never waits, so that warm requests always find a thread.
threads = _config.waiting_places + 8

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
