"""GPU memory beyond torch's allocator, without sampling: what NVML sees at the end, carried to the peak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bench.nvml import Absent, Found
from bench.worker.probes import Number, Reading


class Reserved(NamedTuple):
    """Bytes torch's caching allocator holds: the most since the peaks were reset, and now."""

    peak: int
    now: int


class CardMemory:
    """Gives `peak_device` and `peak_process`, in bytes: reserved peak + (NVML's figure - reserved) at the end.

    Exact while what lies outside torch's allocator stays the same in the window. Never above the
    card's memory: with paged state there the card is full and the formula asks for more. The
    window begins where the device's peaks were reset.
    """

    def __init__(self, card: Found, reserved: Callable[[], Reserved]) -> None:
        self._card = card
        self._reserved = reserved

    def start(self) -> None:
        """Nothing is read: torch keeps the peak."""

    def stop(self) -> Reading:
        """Read NVML twice: some hundred microseconds, after the window."""
        if isinstance(self._card, Absent):
            return Reading({}, dict.fromkeys(("peak_device", "peak_process"), self._card.reason))
        memory = self._card.memory()
        used, room = (memory, None) if isinstance(memory, Absent) else (memory.used, memory.used + memory.free)
        listed = self._card.listing()
        figures = {"peak_device": used, "peak_process": listed if isinstance(listed, Absent) else listed.own}
        reserved = self._reserved()
        return sorted_out({name: at_peak(figure, reserved, room) for name, figure in figures.items()})


def at_peak(figure: int | Absent, reserved: Reserved, room: int | None) -> int | Absent:
    """Carry what NVML says now to torch's peak; `room` is all the memory there is, None where unknown."""
    if isinstance(figure, Absent):
        return figure
    if figure < reserved.now:
        return Absent(
            f"NVML says {figure} B where torch alone holds {reserved.now} B: it looks at another GPU or process; "
            "set CUDA_VISIBLE_DEVICES to the GPU's UUID (nvidia-smi -L)."
        )
    peak = reserved.peak + (figure - reserved.now)
    return peak if room is None else min(peak, room)


def sorted_out(found: Mapping[str, Number | Absent]) -> Reading:
    """Part what was read from what was not."""
    values = {name: value for name, value in found.items() if not isinstance(value, Absent)}
    return Reading(values, {name: value.reason for name, value in found.items() if isinstance(value, Absent)})
