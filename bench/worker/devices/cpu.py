"""The host processor as a device."""

from __future__ import annotations

import re
import time
from contextlib import AbstractContextManager
from itertools import pairwise

import torch

from bench.schema import Kind
from bench.schema.catalogue import Scalar
from bench.worker.devices import Shortage
from bench.worker.probes import Meters
from bench.worker.probes.host import HostMemory
from bench.worker.probes.managed import ManagedMemory, mapped_bytes
from bench.worker.probes.noise import Noise
from bench.worker.probes.rapl import RaplEnergy
from bench.worker.probes.recorder_cpu import CpuRecorder
from bench.worker.probes.trace import Recorder

REFUSED = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")


class HostClock:
    """Boundaries by the host's clock: on a CPU nothing is queued."""

    def __init__(self) -> None:
        self._marks: list[float] = []

    def mark(self) -> None:
        """Note a boundary."""
        self._marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Return the seconds between boundaries."""
        return [later - earlier for earlier, later in pairwise(self._marks)]


class Cpu:
    """Torch's CPU backend. Linux tells what a process holds and what it waits for; elsewhere that stays unmeasured."""

    torch_name = "cpu"
    kind = Kind.MEASURED

    def synchronize(self) -> None:
        """Nothing is queued on a CPU."""

    def clock(self) -> HostClock:
        """Time by the host's clock."""
        return HostClock()

    def meters(self) -> Meters:
        """Memory of the process around phases; neighbours and energy around the timed steps."""
        return Meters(phase=(HostMemory(), ManagedMemory(mapped_bytes)), timed=(Noise(), RaplEnergy()))

    def recorder(self) -> AbstractContextManager[Recorder]:
        """Follow torch's CPU allocator with torch's profiler."""
        return CpuRecorder()

    def shortage(self, error: BaseException) -> Shortage | None:
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
