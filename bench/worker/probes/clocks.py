"""What the clocks of a GPU did while it worked: speed, heat, and how long they were held back."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.nvml import Absent, Card, Found, call
from bench.worker.probes import Reading
from bench.worker.probes.nvml import sorted_out

SM = 1
"""NVML_CLOCK_SM."""
CORE = 0
"""NVML_TEMPERATURE_GPU."""
POWER_CAP = 74
"""NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP: nanoseconds, like its neighbours below."""
NAMES = (
    "sm_clock", "temperature_start", "temperature_end", "clock_reasons_start", "clock_reasons_end",
    "power_cap_seconds", "throttled_seconds", "foreign_processes",
)  # fmt: skip
PATIENCE_S = 1.0
"""Seconds a reader that is still asking NVML is waited for."""
SLACK_S = 1.0
"""Seconds a counter may advance beyond its window: it moves in steps, and is not read when our clock is."""


def slowdown_fields(driver: str) -> tuple[int, int, int] | Absent:
    """Return the fields of software heat, hardware heat and power brake as `driver` numbers them.

    The numbers moved: 251 to 253 in nvidia-ml-py 12.575.51 and 13.580.65, 269 to 271 from 13.580.82 on,
    none before. The other numbers mean power smoothing, whose constants would look like no throttling.
    """
    release = re.match(r"(\d+)\.(\d+)", driver)
    version = (int(release[1]), int(release[2])) if release else (0, 0)
    if version >= (580, 82):
        return 269, 270, 271
    if (575, 0) <= version <= (580, 65):
        return 251, 252, 253
    if version < (575, 0):
        return Absent(f"driver {driver} does not count slowdowns; 580.82 and later do.")
    return Absent(f"driver {driver} is between two numberings of the slowdown counters; 580.82 and later have one.")


@dataclass(slots=True)
class _Moment:
    """One end of a window."""

    seconds: float
    temperature: int | Absent
    reasons: int | Absent
    counters: Mapping[int, int | Absent]
    others: int | Absent


@dataclass(slots=True)
class _Clocks:
    """SM clocks of one window, in MHz, read by a thread of its own."""

    card: Card
    period: float
    seen: list[int] = field(default_factory=list)
    why: Absent = field(default_factory=lambda: Absent("NVML gave no clock in time."))
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Read every `period` seconds until `over`."""
        while not self.over.wait(self.period):
            self.read()

    def read(self) -> None:
        """Keep one reading."""
        clock = self.card.read("nvmlDeviceGetClockInfo", SM)
        if isinstance(clock, Absent):
            self.why = clock
        else:
            self.seen.append(clock)


class CardClocks:
    """Gives SM clock (Hz), temperatures (degrees Celsius), seconds held back, and other processes.

    The clock is the median of readings every `period` seconds; a window that ended before the first
    is read once at its end, when the GPU has just become idle.
    """

    def __init__(self, card: Found, period: float = 0.5) -> None:
        self._card = card
        self._period = period
        self._slowdowns: tuple[int, ...] | Absent = ()

    def start(self) -> None:
        """Read the first end and let the clock be watched."""
        if isinstance(self._card, Absent) or self._card.mig:
            return
        driver = call(self._card.library, "nvmlSystemGetDriverVersion")
        self._slowdowns = driver if isinstance(driver, Absent) else slowdown_fields(driver)
        self._begun = self._moment(self._card)
        self._clocks = _Clocks(self._card, self._period)
        self._watcher = threading.Thread(target=self._clocks.watch, name="ftbench-clocks", daemon=True)
        self._watcher.start()

    def stop(self) -> Reading:
        """Read the other end and say what happened in between."""
        if isinstance(self._card, Absent):
            return Reading({}, dict.fromkeys(NAMES, self._card.reason))
        if self._card.mig:
            return Reading({}, dict.fromkeys(NAMES, "MIG is on: clocks, heat and neighbours are the whole board's."))
        self._clocks.over.set()
        ended = self._moment(self._card)
        self._watcher.join(PATIENCE_S)
        if not self._clocks.seen and not self._watcher.is_alive():
            self._clocks.read()
        return sorted_out(
            {
                "sm_clock": round(median(self._clocks.seen) * 1e6) if self._clocks.seen else self._clocks.why,
                "temperature_start": self._begun.temperature,
                "temperature_end": ended.temperature,
                "clock_reasons_start": self._begun.reasons,
                "clock_reasons_end": ended.reasons,
                "power_cap_seconds": held_back((POWER_CAP,), self._begun, ended),
                "throttled_seconds": held_back(self._slowdowns, self._begun, ended),
                "foreign_processes": _most(self._begun.others, ended.others),
            }
        )

    def _moment(self, card: Card) -> _Moment:
        asked = (POWER_CAP, *(() if isinstance(self._slowdowns, Absent) else self._slowdowns))
        return _Moment(time.perf_counter(), _temperature(card), _reasons(card), card.fields(asked), _others(card))


def held_back(fields: Sequence[int] | Absent, begun: _Moment, ended: _Moment) -> float | Absent:
    """Return the seconds by which the counters of `fields` advanced together; causes at one time count each."""
    if isinstance(fields, Absent):
        return fields
    window = ended.seconds - begun.seconds
    total = 0
    for number in fields:
        first, last = begun.counters[number], ended.counters[number]
        if isinstance(first, Absent):
            return first
        if isinstance(last, Absent):
            return last
        if last < first:
            return Absent(f"NVML field {number} went back: the driver was loaded anew; run again.")
        if last - first > (window + SLACK_S) * 1e9:
            return Absent(f"NVML field {number} advanced by {last - first} within {window:.1f} s: it counts no ns.")
        total += last - first
    return total / 1e9


def _temperature(card: Card) -> int | Absent:
    """Read degrees Celsius; drivers before 575 or so know only the older function, later bindings only the newer."""
    found = card.read("nvmlDeviceGetTemperatureV", CORE)
    return card.read("nvmlDeviceGetTemperature", CORE) if isinstance(found, Absent) else found


def _reasons(card: Card) -> int | Absent:
    """Read the mask of what holds the clocks now; bindings before 12.535 know only the older name."""
    found = card.read("nvmlDeviceGetCurrentClocksEventReasons")
    return card.read("nvmlDeviceGetCurrentClocksThrottleReasons") if isinstance(found, Absent) else found


def _others(card: Card) -> int | Absent:
    """Count the compute processes beside this one, where NVML lists this one at all."""
    listed = card.listing()
    return listed if isinstance(listed, Absent) else listed.others


def _most(first: int | Absent, last: int | Absent) -> int | Absent:
    if isinstance(first, Absent):
        return first
    return last if isinstance(last, Absent) else max(first, last)
