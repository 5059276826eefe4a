"""Energy of the processor sockets, from RAPL's counters in Linux's powercap tree."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.worker.probes import Reading

UPDATE = 0.001
"""Seconds between two updates of a counter (Intel SDM, volume 3B, 16.10: "approximately every 1 millisecond")."""

SHORTEST = 0.2
"""Seconds of the shortest window told: both updates at its ends are 1 % of it."""

MOST_POWER = 700.0
"""Watts that no socket draws on average; the largest sold in 2025 are rated 500 W (EPYC 9965, Xeon 6980P)."""


class Package(NamedTuple):
    """The counter of one socket: joules since some moment, and the joules at which it starts again from 0."""

    energy: float
    wraps_at: float


class UnreadableError(Exception):
    """RAPL cannot be read; the message says why and what to do."""


class RaplEnergy:
    """Reads the counter of every socket at both ends. Misses memory modules, fans, disks, the power supply's loss."""

    def __init__(
        self, powercap: Path = Path("/sys/class/powercap"), clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._powercap = powercap
        self._clock = clock
        self._began = 0.0
        self._before: dict[str, Package] | str = "not started"

    def start(self) -> None:
        """Read the counters."""
        self._before = self._read()
        self._began = self._clock()

    def stop(self) -> Reading:
        """Return `energy` in joules, all sockets together, and `energy_error`, what the ends can have added or lost."""
        seconds = self._clock() - self._began
        before, after = self._before, self._read()
        if isinstance(before, str):
            return _absent(before)
        if isinstance(after, str):
            return _absent(after)
        return _energy(before, after, seconds)

    def _read(self) -> dict[str, Package] | str:
        try:
            return packages(self._powercap)
        except UnreadableError as refusal:
            return str(refusal)


def packages(powercap: Path) -> dict[str, Package]:
    """Read the counter of every socket. Raises `UnreadableError` unless there is one and all can be read.

    Sockets are the domains intel-rapl:<n> named package-<m>, on AMD processors too. By their names
    not among them: parts of a socket (core, uncore, dram), psys (the platform, which contains the
    sockets), and intel-rapl-mmio:<n> (the same socket a second time).
    """
    found: dict[str, Package] = {}
    try:
        for domain in sorted(powercap.glob("intel-rapl:*")):
            if _word(domain, "name").startswith("package"):
                joules = (int(_word(domain, file)) / 1e6 for file in ("energy_uj", "max_energy_range_uj"))
                found[domain.name] = Package(*joules)
    except PermissionError:
        raise UnreadableError(
            "RAPL's counters can be read by root only (Linux since 5.10, CVE-2020-8694); "
            "run as root, or let root allow reading energy_uj."
        ) from None
    except OSError as refusal:
        raise UnreadableError(f"RAPL's counters could not be read ({refusal.strerror}).") from None
    except ValueError:
        raise UnreadableError("RAPL's counters could not be read (one is not a number).") from None
    if not found:
        raise UnreadableError(
            "there are no RAPL counters: another system than Linux, a virtual machine that hides them, or a kernel "
            "without the driver intel_rapl_msr."
        )
    return found


def _word(domain: Path, file: str) -> str:
    return (domain / file).read_text().strip()


def _energy(before: dict[str, Package], after: dict[str, Package], seconds: float) -> Reading:
    if before.keys() != after.keys():
        return _absent("the sockets that RAPL tells of changed in between.")
    if seconds < SHORTEST:
        return _absent(f"{seconds:.2g} s are too short for RAPL's steps of 1 ms; take {SHORTEST} s or more.")
    spent = {name: _spent(before[name], after[name]) for name in before}
    if any(used + before[name].wraps_at <= MOST_POWER * seconds for name, used in spent.items()):
        return _absent(f"in {seconds:.0f} s RAPL's counter may have gone round more than once; take fewer steps.")
    energy = sum(spent.values())
    return Reading({"energy": energy, "energy_error": 2 * UPDATE * energy / seconds})


def _spent(before: Package, after: Package) -> float:
    """Joules between two readings of which at most one start from 0 lies in between."""
    spent = after.energy - before.energy
    return spent if spent >= 0 else spent + before.wraps_at


def _absent(why: str) -> Reading:
    return Reading(absent=dict.fromkeys(("energy", "energy_error"), why))
