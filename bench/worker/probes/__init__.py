"""Probes: one measurement each, started and stopped around a window of work.

A meter never raises because it cannot measure: what it could not read is in `absent` with
the reason, never 0. The device is synchronised before `start` and before `stop`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

Number = int | float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a window gave, by the last part of each metric's name, in base units; and why the rest is missing."""

    values: Mapping[str, Number] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


class Meter(Protocol):
    """Measures a window: `start`, work, `stop`; then it may be started again. Costs microseconds, not milliseconds."""

    def start(self) -> None:
        """Begin a window."""

    def stop(self) -> Reading:
        """End the window and say what it held."""
        ...


@dataclass(frozen=True, slots=True)
class Meters:
    """The meters of a device: around every phase, and around the timed steps alone."""

    phase: Sequence[Meter] = ()
    timed: Sequence[Meter] = ()


@dataclass(slots=True)
class Window:
    """What the meters of a window said; complete once the window has ended."""

    values: dict[str, Number] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


@contextmanager
def metered(meters: Sequence[Meter]) -> Iterator[Window]:
    """Run a block within all `meters`; they end in the reverse order, also when the block fails."""
    window = Window()
    started: list[Meter] = []
    try:
        for meter in meters:
            meter.start()
            started.append(meter)
        yield window
    finally:
        for meter in reversed(started):
            reading = meter.stop()
            window.values.update(reading.values)
            window.absent.update(reading.absent)


__all__ = ["Meter", "Meters", "Number", "Reading", "Window", "metered"]
