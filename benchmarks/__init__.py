"""What the gateway costs and bears, measured against its own parts on the same machine, in the same run."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""Where every program of this project is started."""
