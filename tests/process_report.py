"""A program for `test_fork_server.py`: writes what a program sees of its process, then waits for its end if asked."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time


def main() -> None:
    """Write one line; end with the status of the last argument, or never if it is `stay`."""
    seen = {
        "name": __name__,
        "arguments": sys.argv,
        "path": sys.path,
        "flags": str(sys.flags),
        "main": sys.modules["__main__"].__dict__ is globals(),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "files": [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)],
        "more_files": [number for number in range(3, 64) if os.path.exists(f"/proc/self/fd/{number}")],
        "signals": {each.name: str(signal.getsignal(each)) for each in signal.valid_signals() if hasattr(each, "name")},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "group": os.getpgid(0),
        "session": os.getsid(0),
        "mask": os.umask(0o022),
        "threads": threading.active_count(),
        "encoding": [sys.stdout.encoding, sys.stdout.line_buffering, sys.stdout.write_through],
    }
    sys.stdout.write(f"{json.dumps(seen)}\n")
    sys.stderr.write("to stderr\n")
    sys.stdout.flush()
    if sys.argv[-1] == "stay":
        time.sleep(600)
    sys.exit(int(sys.argv[-1]))


if __name__ == "__main__":
    main()
