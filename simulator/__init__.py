"""Both providers on a local port: deterministic by seed, for trying out, for tests and for benchmarks.

`world/` invents accounts, days, posts and creators; `graph/` and `modash/` return them in the form of each provider;
`faults.py` and `switches.py` change their answers; `own_paths.py` opens all of that below `/_simulator`. Another
host is one more entry in `Simulator._hosts`.
"""

from simulator.simulator import Simulator

__all__ = ["Simulator"]
