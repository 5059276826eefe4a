"""Records a CUDA device's allocations by the caching allocator's own history.

Sizes are the bytes code asked for, before rounding to 512; a block counts until its
release is requested, as in torch.cuda.memory_allocated (c10/cuda/CUDACachingAllocator.cpp:
ALLOC is recorded with orig_size, FREE_REQUESTED with requested_size, and allocated_bytes
falls there and not at FREE_COMPLETED). The history is emptied when recording ends, so it is read before.
Memory that does not come from this allocator is not in it: the CUDA context, libraries'
own blocks, managed memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch

from bench.worker.probes.marks import Marker, allocate_on, marked
from bench.worker.probes.trace import Block, Change, Trace

MOST_ENTRIES = 1_000_000
"""Entries of history kept; about 100 bytes each, and ten times that while they are read."""

SIGN = {"alloc": 1, "free_requested": -1}
"""Entries that change what is allocated; segments, completed releases, snapshots and refusals do not."""


class CudaRecorder:
    """A `Recorder` of torch's CUDA caching allocator. `memory` is torch.cuda.memory, or what stands for it."""

    def __init__(
        self,
        device: int = 0,
        memory: Any = torch.cuda.memory,
        allocate: Callable[[int], None] | None = None,
        most: int = MOST_ENTRIES,
    ) -> None:
        self.trace: Trace | None = None
        self.absent = "the recorded step has not ended."
        self._device = device
        self._memory = memory
        self._most = most
        self._marker = Marker(allocate or allocate_on(f"cuda:{device}"))
        self._alive: dict[int, int] = {}

    def __enter__(self) -> CudaRecorder:
        self._memory._record_memory_history(None)  # forgets what was recorded before
        self._memory._record_memory_history("all", context=None, stacks="python", max_entries=self._most)
        self._alive = blocks_of(self._memory._snapshot(), self._device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        snapshot = self._memory._snapshot()
        self._memory._record_memory_history(None)
        if entries_of(snapshot, self._device) >= self._most:
            self.absent = f"the step made more than the {self._most} changes that are kept; record a smaller batch."
            return
        self.trace = marked(changes_of(snapshot, self._device), self._marker.names)
        self.absent = "" if self.trace else "the allocator's history lacks marks of the recorded step; run it again."

    def mark(self, name: str) -> None:
        """Note that something begins now."""
        self._marker.mark(name)

    def before(self, owned: Sequence[Block]) -> list[Block]:
        """Return every block the allocator had given out, by owner; what `owned` does not hold is `other`."""
        categories = {block.address: block.category for block in owned}
        return [Block(address, size, categories.get(address, "other")) for address, size in self._alive.items()]


def blocks_of(snapshot: Mapping[str, Any], device: int = 0) -> dict[int, int]:
    """Return address and requested bytes of every block in use on `device`."""
    return {
        block["address"]: block["requested_size"]
        for segment in snapshot["segments"]
        if segment["device"] == device
        for block in segment["blocks"]
        if block["state"] == "active_allocated"
    }


def entries_of(snapshot: Mapping[str, Any], device: int = 0) -> int:
    """Count what the history of `device` holds, of every kind."""
    traces = snapshot["device_traces"]
    return len(traces[device]) if device < len(traces) else 0


def changes_of(snapshot: Mapping[str, Any], device: int = 0) -> list[Change]:
    """Read allocations and releases off the history of `device`, oldest first."""
    if not entries_of(snapshot, device):
        return []
    return [
        Change(entry["time_us"] * 1000, entry["addr"], SIGN[entry["action"]] * entry["size"])
        for entry in snapshot["device_traces"][device]
        if entry["action"] in SIGN
    ]
