"""Which records of a results folder were made here, and not brought by a clone or a copy.

Records travel: results are committed and copied between machines, and two machines can
look the same. What another machine finished must not pass for finished on this one, so
only records named in the folder's hidden journal count when a session goes on from before.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

JOURNAL = ".made-here"


def made_here(root: Path) -> set[str]:
    """Return the paths, relative to `root`, of the records made here."""
    with contextlib.suppress(OSError):
        return set((root / JOURNAL).read_text(encoding="utf-8").splitlines())
    return set()


def note(path: Path, root: Path) -> None:
    """Note that the record at `path` was made here. A note that cannot be written costs a repeat, not a record."""
    with contextlib.suppress(OSError), (root / JOURNAL).open("a", encoding="utf-8") as file:
        file.write(path.relative_to(root).as_posix() + "\n")
