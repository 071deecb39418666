"""The production server's settings, each with its reason."""

from __future__ import annotations

import gc
import logging
from typing import Any

from gunicorn_boot import send_held_reload
from program_start import without_collections

# isort: split
with without_collections():
    # Nothing of it is used here. Workers inherit the code that is imported now, all of one release, also those that
    # replace a killed one while the next release is being installed.
    import app  # noqa: F401

import logs
from config import Config, ConfigError, keep_settings, settings_now, unknown_settings, unusable_proxies
from front.listen_address import why_unusable
from gunicorn_cores import core_for_next, usable_cores
from gunicorn_reload import check_reloads, close_listeners
from services.access import start
from services.clock import Clock
from services.redaction import Redaction
from services.store.database import SchemaError
from services.store.store import Store
from services.waiting_slots import WaitingSlots
from services.wiring import provider_clients

_log = logging.getLogger("gunicorn.conf")

try:
    Config.from_env()  # It also checks the names in the file.
    _settings = settings_now()
    _config = Config.from_env(_settings)
    # What this process and gunicorn itself log has the form of all other lines; the workers inherit the hooks.
    logs.set_up(_config.log_level, Redaction(_config.secrets))
    logs.catch_everything()
    # Only this process reports them: it starts once, before its workers.
    for _sentence in (*unknown_settings(), *unusable_proxies(_config)):
        _log.warning(_sentence)
    _store = Store.open(_config.database_url, _config.instance_path, mode=_config.providers)
    _store.check_versions()
    _why = start.why_not(_store.api_keys, _config, Clock().timestamp())
    _store.close()  # Connections must not live through a fork.
    if _why is not None:
        raise ConfigError([_why])
except (ConfigError, SchemaError) as error:
    # Its text goes to stderr, with status 1; gunicorn would show any other exception with a traceback.
    raise SystemExit(str(error)) from None

bind = _config.bind

# Threads, because a cold request waits for a provider; two workers at least, because the threads of one share a lock.
# Our class is gunicorn's threaded worker with refusals in our error shape and a reload that loses no connection.
worker_class = "gunicorn_worker.GunicornWorker"
workers = 2
# One for each request that may wait for a provider, and 8 more, so that warm requests always find a thread.
threads = WaitingSlots.total(_config.max_waiting_requests) + 8

# Without it the kernel hands most kept-alive connections to one of the workers.
reuse_port = True

# Longer than the 60 s for which nginx keeps an idle upstream connection: nginx, not this server, closes it, so that no
# request is sent on a connection that is being closed.
keepalive = 75

# A request ends by its deadline. A worker that does not answer for longer than this is stuck.
timeout = max(120, round(_config.request_deadline) + 30)
# A worker that is stopped or reloaded finishes its requests.
graceful_timeout = provider_clients.graceful_timeout(_config)

# The middleware refuses request lines over 8,000 characters in our error shape; gunicorn reads no more than this.
limit_request_line = 8190
# A browser behind two proxies sends about 30 headers of at most 2,000 bytes. A thread holds 200 KB of them at most.
limit_request_fields = 50
limit_request_field_size = 4094

# The middleware writes one log line for each request; gunicorn's access log would be a second one.
accesslog = None
errorlog = "-"
loglevel = "warning"
logger_class = "gunicorn_worker.GunicornLogger"


def on_starting(server: Any) -> None:
    """Refuse an address on which nothing can listen, or on which another gateway listens.

    The workers open their sockets themselves (`reuse_port`): each of them would end, and be replaced, for ever; and
    two gateways would share the requests. A master that takes over from an older one (USR2) shares its port.
    """
    logs.set_up(_config.log_level, Redaction(_config.secrets))  # With `--daemon` standard error is another file now.
    shared = bool(server.master_pid)
    for host, port in (address[:2] for address in server.cfg.address if isinstance(address, tuple)):
        if (why := why_unusable(host, port, setting="PORT", shared=shared)) is not None:
            raise SystemExit(str(ConfigError([why])))


# gunicorn would create a control socket in the home folder.
control_socket_disable = True


# A reload (HUP) is tried before it takes place, and with a setting, a schema or code that does not work it does not.
def on_reload(server: Any) -> None:
    """Close what the master listens to by itself, and free the code before it, which new workers would inherit."""
    close_listeners(server)
    gc.collect()


def when_ready(server: Any) -> None:
    """Have reloads tried first, also one that was wanted during the start."""
    check_reloads(server)
    send_held_reload()


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a core of its own where there are no more cores than workers."""
    taken = [each.core for each in server.WORKERS.values()]
    worker.core = core_for_next(taken, workers=server.num_workers, cores=usable_cores())


def post_fork(server: Any, worker: Any) -> None:
    """Keep the settings that were checked: the file may hold others when a killed worker is replaced.

    Until the worker has handlers of its own, a signal to it goes into its copy of this queue.
    """
    # What the master has imported is the worker's too, until its end: a collection would look at it, and copy it.
    gc.freeze()
    keep_settings(_settings)
    worker.signals_since_fork = server.SIG_QUEUE
