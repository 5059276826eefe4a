"""Which records a side of a comparison is: a folder, or a part of one by device, version or commit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bench.analysis import cases
from bench.analysis.gate.comparison import Side
from bench.errors import BadValueError, UnknownNameError
from bench.schema import RunRecord
from bench.schema.pairing import normalised

VERSION = re.compile(r"([A-Za-z0-9._-]+)==?([^=\s]+)")
COMMIT = re.compile(r"[0-9a-f]{7,40}")

Belongs = Callable[[RunRecord], bool]


def side(words: str, root: Path) -> Side:
    """Read the side that `words` name.

    A folder of records; or of those below `root` a device's, those of a package's version (`peft==0.21.2`), or those
    of a commit (its first seven digits or more). Raises `UnknownNameError` for what is none of these, `StoreError`
    where a folder cannot be read, `BadValueError` for a folder of one device.
    """
    if words and Path(words).is_dir():
        stored, unreadable = cases.read(Path(words))
        if not stored and any(Path(words).glob("*/*.json")):
            raise BadValueError(f"{words} is one device's folder; name the results folder above it, or the device.")
        return Side(words, tuple(stored), tuple(unreadable))
    stored, unreadable = cases.read(root)
    chosen = _belongs(words)
    runs = tuple(run for run in stored if chosen(run.record))
    if not runs:
        known = dict.fromkeys(run.record.device for run in stored)
        raise UnknownNameError("folder, or device, version or commit below " + str(root), words, known)
    return Side(words, runs, tuple(unreadable))


def _belongs(words: str) -> Belongs:
    if version := VERSION.fullmatch(words):
        fact, wanted = f"package.{normalised(version.group(1))}", version.group(2)
        return lambda record: record.environment.get(fact) == wanted
    if COMMIT.fullmatch(words):
        return lambda record: words == record.device or str(record.environment.get("ftbench.commit")).startswith(words)
    return lambda record: record.device == words


def is_device(words: str, side: Side) -> bool:
    """Tell whether a side was named by its device."""
    return bool(side.runs) and all(run.record.device == words for run in side.runs)
