"""Paged optimiser state: bytes that torch's allocators do not see."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.worker.probes import Reading


class ManagedMemory:
    """Counts paged bytes at the end of a window; `count` returns them."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def start(self) -> None:
        """Nothing: paged state only grows."""

    def stop(self) -> Reading:
        """Return `peak_managed` in bytes, where there is any."""
        held = self._count()
        return Reading({"peak_managed": held} if held else {})


def bitsandbytes_bytes() -> int:
    """Sum what bitsandbytes allocated with cudaMallocManaged in this process; it never frees any."""
    functional = sys.modules.get("bitsandbytes.functional")
    if functional is None:
        return 0
    return sum(tensor.nbytes for tensor in functional.GlobalPageManager.get_instance().paged_tensors)


def mapped_bytes() -> int:
    """Sum the optimiser state in mapped files of this process."""
    mapped = sys.modules.get("bench.worker.paging.mapped")
    return int(mapped.mapped_bytes()) if mapped else 0
