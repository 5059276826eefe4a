"""What a run writes down while it goes: phases with their seconds and peaks, numbers, raw series."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import Scalar

if TYPE_CHECKING:
    from bench.worker.devices import Device, Shortage


class Logbook:
    """Collects a run's record. The current phase is on disk at all times, for when the process dies."""

    def __init__(self, config: RunConfig, phase_file: Path) -> None:
        self.config = config
        self.device: Device | None = None
        self.metrics: dict[str, int | float] = {}
        self.absent: dict[str, str] = {}
        self.series: dict[str, tuple[int | float | None, ...]] = {}
        self.items: dict[str, str] = {}
        self.resolved: dict[str, Scalar] = {}
        self.environment: dict[str, Scalar] = {}
        self.current_phase = "start"
        self._phase_file = phase_file

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase and keep its peaks, also when it fails. A phase may come twice: seconds add, peaks max."""
        assert self.device is not None, "the device is chosen before the first phase"
        self.current_phase = name
        self._phase_file.write_text(name)
        self.device.synchronize()
        self.device.reset_peaks()
        start = time.perf_counter()
        try:
            yield
            self.device.synchronize()
        finally:
            seconds = f"{name}.seconds"
            self.metrics[seconds] = self.metrics.get(seconds, 0.0) + time.perf_counter() - start
            for peak, value in self.device.peaks().items():
                metric = f"{name}.{peak}"
                self.metrics[metric] = max(value, self.metrics.get(metric, 0))

    def keep_series(self, name: str, values: list[float] | list[int]) -> None:
        """Keep raw values in order; what is not finite becomes null."""
        self.series[name] = tuple(v if math.isfinite(v) else None for v in values)

    def resolve(self, settings: Mapping[str, Scalar]) -> None:
        """Keep settings as they were read back from what was built."""
        self.resolved.update(settings)

    def shortage(self, error: Exception) -> Shortage | None:
        """Tell whether `error` means that memory ran out."""
        return self.device.shortage(error) if self.device else None

    def record(self, status: Status, failure: Failure | None = None) -> RunRecord:
        """Close the book. The launcher fills in when and where the run took place."""
        return RunRecord(
            config=self.config,
            kind=Kind.MEASURED,
            status=status,
            device="unknown",
            started="1970-01-01T00:00:00Z",
            failure=failure,
            metrics=self.metrics,
            absent=self.absent,
            series=self.series,
            items=self.items,
            resolved=self.resolved,
            environment=self.environment,
        )
