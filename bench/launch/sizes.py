"""Sizes as people write them."""

from __future__ import annotations

import re

from bench.errors import BadValueError

UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def parse_bytes(option: str, text: str) -> int:
    """Read "4GiB", "500 MB" or "1000000" as bytes; raises `BadValueError` naming the `option`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not found or found.group(2) not in UNITS:
        raise BadValueError(f"{option} {text!r} is no size; write 4GiB, 500MB or a number of bytes.")
    return round(float(found.group(1)) * UNITS[found.group(2)])
