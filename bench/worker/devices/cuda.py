"""An NVIDIA GPU: torch's caching allocator, what NVML says of the card, and the host beside them."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch

from bench import nvml
from bench.errors import UnsupportedError
from bench.schema import Kind
from bench.schema.catalogue import Scalar
from bench.worker.devices import Shortage
from bench.worker.devices.cpu import Cpu
from bench.worker.probes import Meters
from bench.worker.probes.allocator import AllocatorCounts, AllocatorPeaks
from bench.worker.probes.clocks import CardClocks
from bench.worker.probes.energy import CardEnergy
from bench.worker.probes.host import HostMemory
from bench.worker.probes.managed import ManagedMemory, bitsandbytes_bytes
from bench.worker.probes.noise import Noise
from bench.worker.probes.nvml import CardMemory, Reserved
from bench.worker.probes.recorder_cuda import CudaRecorder
from bench.worker.probes.trace import Recorder

ASKED = re.compile(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")
OUTSIDE_TORCH = re.compile(r"CUDA (?:driver )?error: out of memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED"
                           r"|CUBLAS_STATUS_NOT_INITIALIZED.*cublasCreate")  # fmt: skip
"""How memory runs out where torch's allocator is not asked: loading kernels, handles of cuBLAS."""

UNIT = {"bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class EventClock:
    """Boundaries as CUDA events on the current stream: the host runs ahead, the GPU's own time is read at the end."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._events: list[Any] = []

    def mark(self) -> None:
        """Record an event."""
        event = self._cuda.Event(enable_timing=True)
        event.record()
        self._events.append(event)

    def seconds(self) -> list[float]:
        """Wait for the device and return the seconds between boundaries (elapsed_time is in milliseconds)."""
        self._cuda.synchronize()
        return [earlier.elapsed_time(later) / 1000 for earlier, later in pairwise(self._events)]


class Cuda:
    """The first visible CUDA device. `cuda` is torch.cuda, or what stands for it."""

    torch_name = "cuda:0"
    kind = Kind.MEASURED

    def __init__(self, cuda: Any = torch.cuda) -> None:
        if not cuda.is_available():
            way_out = "see that nvidia-smi finds the GPU" if torch.version.cuda else "install a CUDA build of torch"
            raise UnsupportedError(f"torch sees no CUDA device; use --device cpu, or {way_out}.")
        cuda.init()
        self._cuda = cuda
        self._host = Cpu()

    @cached_property
    def _card(self) -> nvml.Found:
        return nvml.find()

    def synchronize(self) -> None:
        """Wait for every stream."""
        self._cuda.synchronize()

    def clock(self) -> EventClock:
        """Time by CUDA events."""
        return EventClock(self._cuda)

    def meters(self) -> Meters:
        """Allocator, card and process around phases; energy, clocks, neighbours and settling around timed steps.

        The allocator's peaks are reset first and read last, so that every meter sees one window.
        """
        statistics = self._cuda.memory_stats
        peaks = AllocatorPeaks(statistics, self._start_peaks)
        card = CardMemory(self._card, self._reserved)
        energy, clocks = CardEnergy(self._card), CardClocks(self._card)
        return Meters(
            phase=(peaks, card, ManagedMemory(bitsandbytes_bytes), HostMemory()),
            timed=(AllocatorCounts(statistics), clocks, Noise(), energy),
        )

    def _start_peaks(self) -> None:
        """Give back what an earlier phase left in the cache, or its reserve would be the next one's least peak."""
        self._cuda.empty_cache()
        self._cuda.reset_peak_memory_stats()

    def _reserved(self) -> Reserved:
        return Reserved(self._cuda.max_memory_reserved(), self._cuda.memory_reserved())

    def recorder(self) -> AbstractContextManager[Recorder]:
        """Follow the caching allocator by its own history."""
        return CudaRecorder(memory=self._cuda.memory)

    def shortage(self, error: BaseException) -> Shortage | None:
        """Recognise torch.OutOfMemoryError and CUDA's own words for it, and fall back to the host's signs."""
        if isinstance(error, torch.OutOfMemoryError):
            found = ASKED.search(str(error))
            size = int(float(found.group(1)) * UNIT[found.group(2)]) if found else None
            return Shortage(str(error).partition(" If reserved")[0], size)
        if isinstance(error, RuntimeError) and OUTSIDE_TORCH.search(str(error)):
            return Shortage(str(error).partition("\n")[0], None)
        return self._host.shortage(error)

    def facts(self) -> dict[str, Scalar]:
        """Describe the device, and the libraries below torch, as torch sees them."""
        properties = self._cuda.get_device_properties(0)
        found: dict[str, Scalar] = {
            "torch.device": properties.name,
            "torch.device_memory_bytes": properties.total_memory,
            "torch.compute_capability": f"{properties.major}.{properties.minor}",
            "torch.multiprocessors": properties.multi_processor_count,
            "torch.cuda": torch.version.cuda or "none",
            "torch.tf32": torch.backends.cuda.matmul.allow_tf32,
            **self._host.facts(),
        }
        if version := torch.backends.cudnn.version():  # type: ignore[no-untyped-call]
            found["torch.cudnn"] = int(version)
        if torch.version.hip:
            found["torch.hip"] = torch.version.hip
        return found
