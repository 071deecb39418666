"""The ETag of a reply, by which a caller that has it already gets 304; `front` compares it with `If-None-Match`."""

from __future__ import annotations

from hashlib import sha256

DIGITS = 24  # hexadecimal digits of the SHA-256 of what names a body
PART, MOST_IN_PARTS = 2_047, 64 * 1024  # bytes


def etag_of(named_by: bytes) -> str:
    """Return the ETag, in quotation marks, of a body that some bytes name: itself, or the digests of its parts.

    hashlib passes the interpreter lock on for a part of 2,048 bytes or more, and gets it back after other threads.
    """
    digest = sha256()
    if len(named_by) > MOST_IN_PARTS:
        digest.update(named_by)
    else:
        for start in range(0, len(named_by), PART):
            digest.update(named_by[start : start + PART])
    return f'"{digest.hexdigest()[:DIGITS]}"'
