"""What a run writes down while it goes: phases with their seconds and readings, numbers, raw series."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import Scalar, is_predicted
from bench.worker.probes import Meters, metered

if TYPE_CHECKING:
    from bench.worker.devices import Device, Shortage


class EndedError(Exception):
    """A process that does a part of the run ended otherwise than well, and the run with it."""

    def __init__(self, status: Status, failure: Failure) -> None:
        super().__init__(failure.message)
        self.status = status
        self.failure = failure


class Logbook:
    """Collects a run's record. The current phase is on disk at all times, for when the process dies."""

    def __init__(self, config: RunConfig, phase_file: Path) -> None:
        self.config = config
        self.metrics: dict[str, int | float] = {}
        self.absent: dict[str, str] = {}
        self.series: dict[str, tuple[int | float | None, ...]] = {}
        self.items: dict[str, str] = {}
        self.resolved: dict[str, Scalar] = {}
        self.environment: dict[str, Scalar] = {}
        self.current_phase = "start"
        self._phase_file = phase_file
        self._device: Device | None = None
        self._meters = Meters()

    @property
    def folder(self) -> Path:
        """The run's own folder, gone when the run is."""
        return self._phase_file.parent

    @property
    def device(self) -> Device:
        """The device of the run, chosen before the first phase."""
        assert self._device is not None, "the device is chosen before the first phase"
        return self._device

    @device.setter
    def device(self, device: Device) -> None:
        self._device = device
        self._meters = device.meters()
        self.environment.update(device.facts())

    def enter(self, phase: str) -> None:
        """Note that a phase begins, on disk too."""
        self.current_phase = phase
        self._phase_file.write_text(phase)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase and keep its readings, also when it fails. A phase may come twice: peaks max, the rest adds.

        On a simulated device the seconds would be the simulation's, so none are kept.
        """
        self.enter(name)
        self.device.synchronize()
        try:
            with metered(self._meters.phase) as window:
                start = time.perf_counter()
                try:
                    yield
                    self.device.synchronize()
                finally:
                    if self.device.kind is Kind.MEASURED:
                        window.values["seconds"] = time.perf_counter() - start
        finally:
            for metric, value in window.values.items():
                self._merge(f"{name}.{metric}", value)
            self._note_absent(name, window.absent)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure around the timed steps: what disturbed them and what energy they took."""
        with metered(self._meters.timed) as window:
            yield
            self.device.synchronize()
        self.metrics.update({f"train.{name}": value for name, value in window.values.items()})
        self._note_absent("train", window.absent)

    def _merge(self, metric: str, value: int | float) -> None:
        before = self.metrics.get(metric, 0)
        self.metrics[metric] = max(before, value) if ".peak_" in metric else before + value

    def _note_absent(self, phase: str, reasons: Mapping[str, str]) -> None:
        self.absent.update({f"{phase}.{name}": reason for name, reason in reasons.items()})

    def keep_series(self, name: str, values: Sequence[float | int | None]) -> None:
        """Keep raw values in order; what is not finite becomes null."""
        self.series[name] = tuple(v if v is not None and math.isfinite(v) else None for v in values)

    def note(self, numbers: Mapping[str, float | None], missing: str) -> None:
        """Keep numbers; one that is not finite, or not there, is absent for the reason `missing`."""
        for name, number in numbers.items():
            if number is None or not math.isfinite(number):
                self.absent[name] = missing
            else:
                self.metrics[name] = number

    def resolve(self, settings: Mapping[str, Scalar]) -> None:
        """Keep settings as they were read back from what was built."""
        self.resolved.update(settings)

    def shortage(self, error: BaseException) -> Shortage | None:
        """Tell whether `error` means that memory ran out."""
        return self._device.shortage(error) if self._device else None

    def record(self, status: Status, failure: Failure | None = None) -> RunRecord:
        """Close the book. The launcher fills in when and where the run took place."""
        return RunRecord(
            config=self.config,
            kind=Kind.PREDICTED if is_predicted(self.config.device) else Kind.MEASURED,
            status=status,
            device="unknown",
            started="1970-01-01T00:00:00Z",
            failure=failure,
            metrics=self.metrics,
            absent={name: reason for name, reason in self.absent.items() if name not in self.metrics},
            series=self.series,
            items=self.items,
            resolved=self.resolved,
            environment=self.environment,
        )
