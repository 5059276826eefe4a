"""Energy of a GPU's board, from the counter NVML keeps since the driver was loaded."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.nvml import Absent, Card, Found
from bench.worker.probes import Reading

UPDATE_S = 0.1
"""Seconds between two updates of the counter, about (as zeus, ml.energy, found on data-center GPUs)."""
LEAST_S = 20 * UPDATE_S
"""Seconds of the shortest window that is measured."""
SHARED = "MIG is on: the energy is the whole board's, and others may use the rest of it."


class CardEnergy:
    """Gives `energy` and `energy_error`, in joules: the board alone, the host excluded.

    A100 and H100 look at their power during a quarter of the time (arXiv 2312.02741): the error
    holds what the counter's steps can do, not that. Average over many steps.
    """

    def __init__(self, card: Found, clock: Callable[[], float] = time.perf_counter) -> None:
        self._card = card
        self._clock = clock
        self._begun: tuple[float, int | Absent] = (0.0, Absent("the window was not started."))
        self._others = 0

    def start(self) -> None:
        """Read the counter."""
        if isinstance(self._card, Card):
            self._others = _others(self._card)
            self._begun = self._clock(), self._card.read("nvmlDeviceGetTotalEnergyConsumption")

    def stop(self) -> Reading:
        """Read the counter again and say what the window took."""
        if isinstance(self._card, Absent):
            return _absent(self._card)
        then, first = self._begun
        last = self._card.read("nvmlDeviceGetTotalEnergyConsumption")
        seconds = self._clock() - then
        if self._card.mig:
            return _absent(Absent(SHARED))
        if others := max(self._others, _others(self._card)):
            return _absent(Absent(f"at least {others} others computed on the GPU; its energy is theirs too."))
        joules = between(first, last, seconds)
        if isinstance(joules, Absent):
            return _absent(joules)
        return Reading({"energy": joules, "energy_error": 2 * UPDATE_S * self._highest_power(joules / seconds)})

    def _highest_power(self, mean: float) -> float:
        """Return watts the board may have drawn at an end of the window: the enforced limit, at least the mean."""
        limit = self._card.read("nvmlDeviceGetEnforcedPowerLimit") if isinstance(self._card, Card) else 0
        return mean if isinstance(limit, Absent) else max(mean, limit / 1000)


def between(first: int | Absent, last: int | Absent, seconds: float) -> float | Absent:
    """Return joules between two readings of the counter, in mJ, `seconds` apart; or why they mean nothing."""
    if isinstance(first, Absent):
        return first
    if isinstance(last, Absent):
        return last
    if seconds < LEAST_S:
        return Absent(f"{seconds:.2f} s are too short for a counter that moves every {UPDATE_S} s; take {LEAST_S:g} s.")
    if last < first:
        return Absent("the energy counter went back: the driver was loaded anew; run again.")
    if last == first:
        return Absent(f"the energy counter did not move within {seconds:.1f} s.")
    return (last - first) / 1000


def _others(card: Card) -> int:
    """Count the processes that are surely not this one: at most one of those NVML lists is."""
    listed = card.processes()
    return 0 if isinstance(listed, Absent) else max(0, len(listed) - 1)


def _absent(why: Absent) -> Reading:
    return Reading({}, dict.fromkeys(("energy", "energy_error"), why.reason))
