"""What the arguments of several commands have in common."""

from __future__ import annotations

import argparse


def given_path(text: str) -> str:
    """Read the path of a file or folder; an empty one is a variable without a value, and would be this folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; accepted: a path")
    return text
