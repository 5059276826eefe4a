"""An NVIDIA GPU: peaks from torch's caching allocator, and the host's beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.errors import UnsupportedError
from bench.schema.catalogue import Scalar
from bench.worker.devices import Allocations, Shortage
from bench.worker.devices.cpu import Cpu

ASKED = re.compile(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")
UNIT = {"bytes": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Cuda:
    """The first visible CUDA device."""

    torch_name = "cuda:0"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise UnsupportedError("torch sees no CUDA device; use --device cpu, or install a CUDA build of torch.")
        torch.cuda.init()  # type: ignore[no-untyped-call]
        self._host = Cpu()

    def synchronize(self) -> None:
        """Wait for every stream."""
        torch.cuda.synchronize()

    def reset_peaks(self) -> None:
        """Start the allocator's and the host's peaks again."""
        torch.cuda.reset_peak_memory_stats()
        self._host.reset_peaks()

    def peaks(self) -> dict[str, int]:
        """Return `peak_allocated`, `peak_reserved` and the host's `peak_resident`, in bytes."""
        return {
            "peak_allocated": torch.cuda.max_memory_allocated(),
            "peak_reserved": torch.cuda.max_memory_reserved(),
            **self._host.peaks(),
        }

    @contextmanager
    def count_allocations(self) -> Iterator[Allocations]:
        """Count nothing: the allocator's own peaks cover the whole phase."""
        yield Allocations()

    def shortage(self, error: Exception) -> Shortage | None:
        """Recognise torch.OutOfMemoryError, and fall back to the host's signs."""
        if isinstance(error, torch.OutOfMemoryError):
            found = ASKED.search(str(error))
            size = int(float(found.group(1)) * UNIT[found.group(2)]) if found else None
            return Shortage(str(error).partition(" If reserved")[0], size)
        return self._host.shortage(error)

    def facts(self) -> dict[str, Scalar]:
        """Describe the device as torch sees it."""
        properties = torch.cuda.get_device_properties(0)
        return {
            "torch.device": properties.name,
            "torch.device_memory_bytes": properties.total_memory,
            "torch.compute_capability": f"{properties.major}.{properties.minor}",
            "torch.multiprocessors": properties.multi_processor_count,
            "torch.cuda": torch.version.cuda or "none",
            "torch.tf32": torch.backends.cuda.matmul.allow_tf32,
        }
