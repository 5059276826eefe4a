"""What a recorded step is: allocations and releases in their order, and the marks between them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Change(NamedTuple):
    """An allocation, or a release when `size` (bytes) is negative. The order of changes is the truth, not the time."""

    time_ns: int
    address: int
    size: int


class Mark(NamedTuple):
    """Something began just before the change at `position`."""

    position: int
    name: str


class Block(NamedTuple):
    """Memory in use: where it starts, its bytes, and the category that owns it."""

    address: int
    size: int
    category: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One recorded step."""

    changes: Sequence[Change]
    marks: Sequence[Mark]


class Recorder(AbstractContextManager["Recorder"], Protocol):
    """Records a block of code. After it, `trace` is set, or `absent` says why it is None.

    Slow: for a step of its own, never around timed work.
    """

    trace: Trace | None
    absent: str

    def mark(self, name: str) -> None:
        """Note that something begins now; from any thread that allocates, a backward hook included."""

    def before(self, owned: Sequence[Block]) -> list[Block]:
        """Say what was alive when recording began, `owned` being the blocks whose owner is known."""
        ...
