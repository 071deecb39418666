"""How much of the fuzzing one run does: every twelfth case, or all of them with `FUZZ=all`."""

import os

EVERY = 1 if os.environ.get("FUZZ") == "all" else 12
