"""Where a run computes: one file a device, at most six methods each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.schema import Kind
from bench.schema.catalogue import Scalar
from bench.worker.probes import Meters
from bench.worker.probes.trace import Recorder


@dataclass(frozen=True, slots=True)
class Shortage:
    """Memory ran out: the device's own words, and the bytes asked for where it says so."""

    message: str
    bytes_requested: int | None


class StepClock(Protocol):
    """Times steps without making the device wait between them."""

    def mark(self) -> None:
        """Note a boundary: the end of one step and the start of the next."""

    def seconds(self) -> list[float]:
        """Wait for the device and return the seconds between boundaries, in order."""
        ...


class Device(Protocol):
    """A device. `torch_name` is what tensors are moved to, `kind` what its numbers are."""

    torch_name: str
    kind: Kind

    def synchronize(self) -> None:
        """Block until all queued work is done."""

    def clock(self) -> StepClock:
        """Return a new clock for a block of steps."""
        ...

    def meters(self) -> Meters:
        """Return what is measured around phases and around the timed steps."""
        ...

    def recorder(self) -> AbstractContextManager[Recorder]:
        """Follow every allocation and release within a block. Slow: never around timed work."""
        ...

    def shortage(self, error: BaseException) -> Shortage | None:
        """Tell whether `error` means that this device ran out of memory."""

    def facts(self) -> dict[str, Scalar]:
        """Describe the device as torch sees it."""
        ...


__all__ = ["Device", "Shortage", "StepClock"]
