"""The host processor as a device: peaks from /proc, allocations from torch's profiler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.schema.catalogue import Scalar
from bench.worker.devices import Allocations, Shortage

REFUSED = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")


class Cpu:
    """Torch's CPU backend. Linux tells a process's peak; elsewhere it stays unmeasured."""

    torch_name = "cpu"

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc

    def synchronize(self) -> None:
        """Nothing is queued on a CPU."""

    def reset_peaks(self) -> None:
        """Make VmHWM start again from what is resident now (`man proc_pid_clear_refs`, value 5)."""
        try:
            (self._proc / "clear_refs").write_text("5")
        except OSError:
            self._proc = Path("/nonexistent")  # a peak that cannot be reset belongs to no phase

    def peaks(self) -> dict[str, int]:
        """Return `peak_resident`: VmHWM, in bytes."""
        try:
            found = re.search(r"^VmHWM:\s+(\d+) kB$", (self._proc / "status").read_text(), re.MULTILINE)
        except OSError:
            return {}
        return {"peak_resident": int(found.group(1)) * 1024} if found else {}

    @contextmanager
    def count_allocations(self) -> Iterator[Allocations]:
        """Follow every allocation and release of torch's CPU allocator within the block."""
        counted = Allocations()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            yield counted
        results: Any = profile.profiler.kineto_results
        counted.peak = peak_of(_changes(results.experimental_event_tree()))

    def shortage(self, error: Exception) -> Shortage | None:
        """Recognise Python's MemoryError and torch's DefaultCPUAllocator."""
        if isinstance(error, MemoryError):
            return Shortage("the host has no memory left.", None)
        found = REFUSED.search(str(error))
        return Shortage(f"the host has no {found.group(1)} bytes left.", int(found.group(1))) if found else None

    def facts(self) -> dict[str, Scalar]:
        """Threads and instruction set as torch uses them."""
        return {
            "torch.threads": torch.get_num_threads(),
            "torch.cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }


def _changes(events: list[Any]) -> list[int]:
    """Bytes allocated (positive) and released (negative), in order of time."""
    found: list[tuple[int, int]] = []
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        if event.typed[0].name == "Allocation":
            found.append((event.start_time_ns, event.typed[1].alloc_size))
        waiting.extend(event.children)
    found.sort(key=lambda change: change[0])
    return [size for _, size in found]


def peak_of(changes: list[int]) -> int:
    """Return the highest running sum, at least 0."""
    level = peak = 0
    for change in changes:
        level += change
        peak = max(peak, level)
    return peak
