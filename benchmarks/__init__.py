"""Benchmarks: the gateway at its shipped settings, compared with its own parts on the same machine in the same run.

The limits of the simulator are lifted, those of the gateway are not. A setting that a benchmark changes is stated in
its first lines. A benchmark fails when its replies are not the ones that it measures.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The working directory of every program that a benchmark starts."""
