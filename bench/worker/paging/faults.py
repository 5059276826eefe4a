"""What the host did while a step ran: page faults of this process, and time in which all tasks stood still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.worker.probes.host import page_faults
from bench.worker.probes.noise import stall_seconds

STALLS = {"step.memory_stall": "memory", "step.io_stall": "io"}


class Faults:
    """One value a step in each of `series`; what this system does not count is in `absent` instead.

    Minor and major faults of this process (getrusage), memory and io stalls of the whole machine in
    seconds: time in which every task that was not idle waited (/proc/pressure, full total).
    """

    def __init__(self, pressure: Path = Path("/proc/pressure")) -> None:
        self._pressure = pressure
        self.series: dict[str, list[float]] = {}
        self.absent: dict[str, str] = {}

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one step. A step that fails leaves no value."""
        before = self._read()
        yield
        for name, value in self._read().items():
            self.series.setdefault(name, []).append(value - before[name])

    def _read(self) -> dict[str, float]:
        faults = page_faults()
        read: dict[str, float] = {}
        if faults:
            read = {"step.minor_faults": faults.minor, "step.major_faults": faults.major}
        for name, what in STALLS.items():
            stalled = None
            with suppress(OSError):
                stalled = stall_seconds(self._pressure / what, "full")
            if stalled is not None:
                read[name] = stalled
            else:
                self.absent[name] = f"{self._pressure / what} has no full total; it needs Linux 4.20 with CONFIG_PSI."
        return read
