"""Marks written into the stream of allocations itself, so that no two clocks have to agree.

A mark is two tiny tensors of telling sizes, each allocated and released at once: first
`OPENING` bytes, then `NUMBERED` bytes plus the mark's number. They stand in the allocator's
own order, whichever thread made them, and are taken out when the stream is read.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import torch

from bench.worker.probes.trace import Change, Mark, Trace

OPENING = 1009
NUMBERED = 2003
"""Bytes. Odd and prime: weights, activations and workspaces do not come in them, in this order and released at once."""


class Marker:
    """Writes marks by `allocate`, which allocates that many bytes and releases them."""

    def __init__(self, allocate: Callable[[int], None]) -> None:
        self._allocate = allocate
        self.names: list[str] = []

    def mark(self, name: str) -> None:
        """Write a mark. The collector rests meanwhile: what it releases must not fall between the two tensors."""
        number = len(self.names)
        self.names.append(name)
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._allocate(OPENING)
            self._allocate(NUMBERED + number)
        finally:
            if collecting:
                gc.enable()


def allocate_on(device: str) -> Callable[[int], None]:
    """Return what allocates and releases bytes on `device`."""

    def allocate(size: int) -> None:
        torch.empty(size, dtype=torch.uint8, device=device)

    return allocate


def marked(changes: Sequence[Change], names: Sequence[str]) -> Trace | None:
    """Take the marks `names` out of `changes`; None if not all of them are there, in their order."""
    kept: list[Change] = []
    marks: list[Mark] = []
    position = 0
    while position < len(changes):
        if changes[position].size == OPENING and _is_mark(changes[position : position + 4], len(marks)):
            if len(marks) == len(names):
                return None
            marks.append(Mark(len(kept), names[len(marks)]))
            position += 4
        else:
            kept.append(changes[position])
            position += 1
    return Trace(kept, marks) if len(marks) == len(names) else None


def _is_mark(four: Sequence[Change], number: int) -> bool:
    numbered = NUMBERED + number
    sizes = [change.size for change in four]
    return (
        sizes == [OPENING, -OPENING, numbered, -numbered]
        and four[0].address == four[1].address
        and four[2].address == four[3].address
    )
