"""Torch's CUDA caching allocator: its own peaks, and whether it was still growing while time was taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.worker.probes import Reading

Statistics = Callable[[], Mapping[str, int]]
"""`torch.cuda.memory_stats`, or what stands in for it."""

PEAKS = {
    "peak_allocated": "allocated_bytes.all.peak",
    "peak_requested": "requested_bytes.all.peak",
    "peak_reserved": "reserved_bytes.all.peak",
}
COUNTS = {"allocator_growth": "num_device_alloc", "allocator_retries": "num_alloc_retries"}


class AllocatorPeaks:
    """Peaks in bytes within a window. `reset` makes them start again (`torch.cuda.reset_peak_memory_stats`)."""

    def __init__(self, statistics: Statistics, reset: Callable[[], None]) -> None:
        self._statistics = statistics
        self._reset = reset

    def start(self) -> None:
        """Forget earlier peaks."""
        self._reset()

    def stop(self) -> Reading:
        """Return the allocated, requested and reserved peak; one that this torch does not keep is absent."""
        return _read(self._statistics(), PEAKS, {})


class AllocatorCounts:
    """Calls of cudaMalloc and retries within a window."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._before: Mapping[str, int] = {}

    def start(self) -> None:
        """Note the counts so far."""
        self._before = dict(self._statistics())

    def stop(self) -> Reading:
        """Return what was added; a count that this torch does not keep is absent."""
        return _read(self._statistics(), COUNTS, self._before)


def _read(now: Mapping[str, int], wanted: Mapping[str, str], before: Mapping[str, int]) -> Reading:
    """Pick the `wanted` statistics, each minus its value before."""
    values = {name: now[key] - before.get(key, 0) for name, key in wanted.items() if key in now}
    missing = {name: f"this torch keeps no {key}." for name, key in wanted.items() if key not in now}
    return Reading(values, missing)
