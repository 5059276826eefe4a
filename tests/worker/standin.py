"""What stands for torch.cuda where there is none: a device that works off a queue by a clock of its own.

Its allocator's statistics are given, not measured; what is tested with it is who asks for
what and when, not the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bench.worker.devices.cuda import Cuda
from bench.worker.probes.recorder_cpu import CpuRecorder

GIB = 2**30


@dataclass
class StandInEvent:
    """An event that is reached when the work queued before it is done."""

    cuda: StandInCuda
    at: float = 0.0

    def record(self) -> None:
        self.at = self.cuda.queued

    def elapsed_time(self, later: StandInEvent) -> float:
        assert self.cuda.done >= later.at, "an event was read before the device was waited for"
        return (later.at - self.at) * 1000


@dataclass
class StandInCuda:
    """`queue` adds seconds of work; only `synchronize` lets the host see it done."""

    queued: float = 0.0
    done: float = 0.0
    waits: int = 0
    resets: int = 0
    emptied: int = 0
    broken_after: int | None = None
    statistics: dict[str, int] = field(
        default_factory=lambda: {
            "allocated_bytes.all.peak": 3 * GIB,
            "requested_bytes.all.peak": 3 * GIB - 4096,
            "reserved_bytes.all.peak": 4 * GIB,
            "num_device_alloc": 7,
            "num_alloc_retries": 0,
        }
    )
    history: list[dict[str, Any]] = field(default_factory=list)

    def queue(self, seconds: float) -> None:
        self.queued += seconds

    def is_available(self) -> bool:
        return True

    def init(self) -> None:
        pass

    def synchronize(self) -> None:
        self.waits += 1
        if self.broken_after is not None and self.waits > self.broken_after:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        self.done = self.queued

    def Event(self, *, enable_timing: bool) -> StandInEvent:  # noqa: N802 (torch's name)
        assert enable_timing
        return StandInEvent(self)

    def memory_stats(self) -> dict[str, int]:
        return dict(self.statistics)

    def reset_peak_memory_stats(self) -> None:
        self.resets += 1

    def max_memory_reserved(self) -> int:
        return self.statistics["reserved_bytes.all.peak"]

    def memory_reserved(self) -> int:
        return 3 * GIB

    def empty_cache(self) -> None:
        self.emptied += 1

    def get_device_properties(self, _: int) -> SimpleNamespace:
        return SimpleNamespace(name="Stand-in", total_memory=80 * GIB, major=9, minor=0, multi_processor_count=132)


class StandInDevice(Cuda):
    """The CUDA device on this stand-in, with tensors on the host: everything around a run is real but the GPU."""

    torch_name = "cpu"

    def __init__(self) -> None:
        super().__init__(StandInCuda())

    def recorder(self) -> CpuRecorder:
        return CpuRecorder()
