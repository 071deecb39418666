"""Writes a setting into the settings file, which stays readable for its owner only."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

OWNER_ONLY = 0o600


def write_setting(path: Path, name: str, value: str) -> None:
    """Set a name in the file: on its own empty line if there is one, else on a new line; raises `OSError`.

    The file is replaced at once, so that no reader sees a part of it. A link keeps leading to it, and its owner stays:
    the gateway may run as another user than this command.
    """
    path = path.resolve()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    line = f"{name}={value}"
    changed, count = re.subn(rf"^{name}=[ \t]*$", line, text, count=1, flags=re.MULTILINE)
    if not count:
        changed = f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n"
    before = path.stat() if path.exists() else None
    mode = OWNER_ONLY if before is None else before.st_mode & OWNER_ONLY
    handle, temporary = tempfile.mkstemp(prefix=".env-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(changed)
        os.chmod(temporary, mode | 0o400)
        if before is not None and before.st_uid != os.geteuid():
            os.chown(temporary, before.st_uid, before.st_gid)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
