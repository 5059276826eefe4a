"""Which records of a results folder were made here, and not brought by a clone or a copy.

Records travel: results are committed and copied between machines, and two machines can
look the same. What another machine finished must not pass for finished on this one, so
only records named in the folder's hidden journal count when a session goes on from before.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

from bench import store
from bench.schema import RunRecord

JOURNAL = ".made-here"


def made_here(root: Path) -> set[str]:
    """Return the paths, relative to `root`, of the records made here."""
    with contextlib.suppress(OSError):
        return set((root / JOURNAL).read_text(encoding="utf-8").splitlines())
    return set()


def save(record: RunRecord, root: Path) -> Path:
    """Write down a run that was made here, and return its record's path. Raises `StoreError`.

    The note comes first: a session that is killed in between leaves a note without a record, and no record that the
    next one would make again.
    """
    return store.save(record, root, partial(_note, root=root))


def _note(path: Path, root: Path) -> None:
    """Note that the record at `path` was made here. A note that cannot be written costs a repeat, not a record."""
    with contextlib.suppress(OSError), (root / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(path.relative_to(root).as_posix() + "\n")
