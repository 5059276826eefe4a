"""Host memory of this process: its peak, its page faults, its growth in swap."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.worker.probes import Number, Reading

RESET_PEAK = "5"
"""What `man proc_pid_clear_refs` wants to read to make VmHWM start again from what is resident now."""


class Faults(NamedTuple):
    """Page faults of all threads of a process since it began."""

    minor: int
    major: int


def page_faults() -> Faults | None:
    """Count by getrusage: ru_minflt, ru_majflt. None where the system has no such call (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Faults(used.ru_minflt, used.ru_majflt)


class HostMemory:
    """Reads /proc/self/status and getrusage at both ends; the peak is the kernel's own and misses nothing between."""

    def __init__(self, proc: Path = Path("/proc/self"), faults: Callable[[], Faults | None] = page_faults) -> None:
        self._proc = proc
        self._count_faults = faults
        self._refusal = ""
        self._swap: int | None = None
        self._faults: Faults | None = None

    def start(self) -> None:
        """Reset the peak; it cannot be told where the kernel refuses: it may be that of an earlier window."""
        try:
            (self._proc / "clear_refs").write_text(RESET_PEAK)
            self._refusal = ""
        except OSError as refusal:
            self._refusal = f"the peak cannot be reset, so it may be an earlier one (clear_refs: {refusal.strerror})."
        self._swap = self._status().get("VmSwap")
        self._faults = self._count_faults()

    def stop(self) -> Reading:
        """Return `peak_resident` and `swap_growth` in bytes, `minor_faults` and `major_faults`."""
        faults = self._count_faults()
        status = self._status()
        values: dict[str, Number] = {}
        absent: dict[str, str] = {}
        if faults and self._faults:
            values["minor_faults"] = faults.minor - self._faults.minor
            values["major_faults"] = faults.major - self._faults.major
        else:
            absent = dict.fromkeys(("minor_faults", "major_faults"), "this system has no getrusage to count them.")
        if "VmHWM" in status and not self._refusal:
            values["peak_resident"] = status["VmHWM"]
        else:
            absent["peak_resident"] = self._refusal or _missing("VmHWM")
        if "VmSwap" in status and self._swap is not None:
            values["swap_growth"] = status["VmSwap"] - self._swap
        else:
            absent["swap_growth"] = _missing("VmSwap")
        return Reading(values, absent)

    def _status(self) -> Mapping[str, int]:
        """Read the sizes of `man proc_pid_status`, in bytes; none where there is no such file."""
        try:
            text = (self._proc / "status").read_text(errors="replace")
        except OSError:
            return {}
        sizes = re.findall(r"^(Vm\w+):\s+(\d+) kB$", text, re.MULTILINE)
        return {name: int(size) * 1024 for name, size in sizes}


def _missing(name: str) -> str:
    return f"the system does not tell {name} of a process; Linux does, in /proc/self/status."
