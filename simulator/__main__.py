"""The command: `python -m simulator --port 8001 --seed 1`."""

import argparse
import errno
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import FrameType

from config import ConfigError, simulator_port
from simulator.simulator import Simulator
from simulator.world.accounts import MOST_ACCOUNTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; return the exit status."""
    options = _options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    # A world that began long ago has tokens of today, which a gateway can use.
    simulator = Simulator(
        seed=options.seed, accounts=options.accounts, started=options.started, tokens_from=time.time()
    )
    try:
        server = simulator.listen(host=options.host, port=options.port)
    except OSError as error:
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        sys.stderr.write(f"simulator: port {options.port} on {options.host} {reason}\n")
        return 1
    sys.stdout.write(f"simulator listening on {server.url} (seed {options.seed}, {options.accounts} accounts)\n")
    sys.stdout.flush()
    server.serve_forever()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    try:
        port = simulator_port()
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    parser = argparse.ArgumentParser(prog="simulator", description="Both providers on a local port.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=_whole(0, 65_535), default=port, help="0 is a free one (default: SIMULATOR_PORT, else 8001)"
    )
    parser.add_argument("--seed", type=int, default=1, help="another seed is another world (default: 1)")
    parser.add_argument("--accounts", type=_whole(1, MOST_ACCOUNTS), default=240, help="how many (default: 240)")
    parser.add_argument(
        "--started",
        type=_moment,
        help="the day (2026-06-15) shortly before which the fresh accounts were created (default: today)",
    )
    return parser.parse_args(arguments)


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a day such as 2026-06-15") from None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return int(text)

    return parse


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, also for a signal that is already on its way."""


def _leave(_: int, __: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C may come twice: from the terminal and from the parent process.
        signal.signal(number, _ignore)
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
