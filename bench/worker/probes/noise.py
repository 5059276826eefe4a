"""Noise from neighbours: processor time that others took, and time in which tasks of the machine had to wait."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.worker.probes import Number, Reading

SHORTEST = 0.5
"""Seconds below which processor time is not told: it is counted in ticks of 0.01 s, one more or less at each end."""

PRESSURES = ("cpu", "memory", "io")


class Busy(NamedTuple):
    """Seconds all processors together have been in use since boot, and of them those a hypervisor gave to others."""

    total: float
    stolen: float


def busy(line: str, ticks_per_second: int) -> Busy:
    """Read the first line of /proc/stat (`man proc_stat`). Raises ValueError for another line.

    Its fields are user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already.
    """
    name, *fields = line.split()
    if name != "cpu":
        raise ValueError(f"not the sum over all processors: {line!r}")
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, fields[:8])
    total = user + nice + system + irq + softirq + stolen
    return Busy(total / ticks_per_second, stolen / ticks_per_second)


def stall_seconds(file: Path, whose: str) -> float | None:
    """Read the seconds since boot in which "some" or "full", all, tasks waited; None where the file has no such total.

    Raises OSError where there is no such file (Linux 4.20 with CONFIG_PSI has it).
    """
    found = re.search(rf"^{whose} .*\btotal=(\d+)$", file.read_text(), re.MULTILINE)
    return int(found.group(1)) / 1e6 if found else None


def own_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


class Noise:
    """Reads /proc/stat and /proc/pressure at both ends. Both are the whole machine's, also in a container.

    A child that still runs counts as a neighbour.
    """

    def __init__(
        self,
        proc: Path = Path("/proc"),
        own: Callable[[], float] = own_seconds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc = proc
        self._own = own
        self._clock = clock
        self._before: tuple[float, float, Busy | str] = (0.0, 0.0, "not started")
        self._stalls: dict[str, float | str] = {}

    def start(self) -> None:
        """Read everything once."""
        self._stalls = {kind: self._stall(kind) for kind in PRESSURES}
        self._before = self._processors()

    def stop(self) -> Reading:
        """Return `neighbour_cores` and `stolen_cores`, and `cpu_stall`, `memory_stall`, `io_stall` in seconds."""
        values, absent = self._cores(self._processors())
        for kind, before in self._stalls.items():
            after = self._stall(kind)
            if isinstance(before, str):
                absent[f"{kind}_stall"] = before
            elif isinstance(after, str):
                absent[f"{kind}_stall"] = after
            else:
                values[f"{kind}_stall"] = after - before
        return Reading(values, absent)

    def _cores(self, now: tuple[float, float, Busy | str]) -> tuple[dict[str, Number], dict[str, str]]:
        (began, own_before, before), (ended, own_after, after) = self._before, now
        seconds = ended - began
        if isinstance(before, str):
            return {}, _without_cores(before)
        if isinstance(after, str):
            return {}, _without_cores(after)
        if seconds < SHORTEST:
            why = f"{seconds:.2g} s are too short for /proc/stat, which counts in 0.01 s; take {SHORTEST} s or more."
            return {}, _without_cores(why)
        others = max(0.0, after.total - before.total - (own_after - own_before))
        return {"neighbour_cores": others / seconds, "stolen_cores": (after.stolen - before.stolen) / seconds}, {}

    def _processors(self) -> tuple[float, float, Busy | str]:
        """Return the clock, this process's processor seconds, and everybody's or why they cannot be told."""
        return self._clock(), self._own(), self._everybody()

    def _everybody(self) -> Busy | str:
        try:
            with (self._proc / "stat").open() as lines:
                return busy(lines.readline(), os.sysconf("SC_CLK_TCK"))
        except OSError as refusal:
            return f"/proc/stat cannot be read ({refusal.strerror}); Linux has it."
        except ValueError:
            return "/proc/stat does not begin with the sum over all processors, as Linux has it."

    def _stall(self, kind: str) -> float | str:
        """Return the seconds since boot in which some task waited, or why they cannot be told."""
        try:
            found = stall_seconds(self._proc / "pressure" / kind, "some")
        except OSError as refusal:
            return f"the kernel tells no /proc/pressure/{kind} ({refusal.strerror}); Linux does when booted with psi=1."
        return f"/proc/pressure/{kind} has no total of 'some'." if found is None else found


def _without_cores(why: str) -> dict[str, str]:
    return dict.fromkeys(("neighbour_cores", "stolen_cores"), why)
