"""Training that several processes share: how the work is spread, who does it, and what goes between them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A process of a run: its number `rank`, how many there are, and the run's folder, which they share."""

    rank: int
    world: int
    folder: Path

    @property
    def own_folder(self) -> Path:
        """Where this process leaves its record, and the name of its phase."""
        return self.folder / f"rank-{self.rank}"
