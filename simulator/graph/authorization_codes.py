"""Authorization codes: what a login page gives, to be exchanged once for a token."""

import threading

CODE = "AQSANDBOX"  # Any code that begins so can be exchanged, once.
FRAGMENT = "#_"  # at the end of the address that the login page leads to; it is no part of the code
SHORT_LIFETIME = 3600  # seconds of a token that a code was exchanged for


class Codes:
    """The codes that were exchanged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: set[str] = set()

    def reset(self) -> None:
        """Forget them."""
        with self._lock:
            self._used.clear()

    def is_known(self, code: str) -> bool:
        """Return whether a code can be one of ours."""
        return code.startswith(CODE) and not code.endswith(FRAGMENT)

    def use(self, code: str) -> bool:
        """Use up a code; return False if it was used before."""
        with self._lock:
            is_new = code not in self._used
            self._used.add(code)
            return is_new
