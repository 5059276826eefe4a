"""Where a run computes: one file a device, at most six methods each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.schema.catalogue import Scalar


@dataclass(frozen=True, slots=True)
class Shortage:
    """Memory ran out: the device's own words, and the bytes asked for where it says so."""

    message: str
    bytes_requested: int | None


@dataclass(slots=True)
class Allocations:
    """Tensor bytes a block of code added at its peak; None until the block ended or where unknown."""

    peak: int | None = None


class Device(Protocol):
    """A device. `torch_name` is what tensors are moved to."""

    torch_name: str

    def synchronize(self) -> None:
        """Block until all queued work is done."""

    def reset_peaks(self) -> None:
        """Forget the memory peaks so far."""

    def peaks(self) -> dict[str, int]:
        """Return peaks in bytes since `reset_peaks`, by the last part of their metric's name."""
        ...

    def count_allocations(self) -> AbstractContextManager[Allocations]:
        """Find the peak a block adds, where `peaks` cannot know it. Slow: never around timed work."""
        ...

    def shortage(self, error: Exception) -> Shortage | None:
        """Tell whether `error` means that this device ran out of memory."""

    def facts(self) -> dict[str, Scalar]:
        """Describe the device as torch sees it."""
        ...


__all__ = ["Allocations", "Device", "Shortage"]
