"""What the host has left for pages that leave the device, and how the driver was loaded."""

from __future__ import annotations

import re
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")

NO_LIMIT = 1 << 60
"""Above this, a limit of cgroup version 1 means that there is none."""


def ram_available(proc: Path = PROC) -> int:
    """Return MemAvailable in bytes; 0 where the kernel does not say."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(proc / "meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def cgroup_headroom(proc: Path = PROC, sys: Path = SYS) -> int | None:
    """Return the bytes left under the tightest memory limit of this process's cgroups; None without a limit."""
    rooms = []
    for line in (_read(proc / "self" / "cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            rooms += _rooms(sys / "fs/cgroup", path, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            rooms += _rooms(sys / "fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
    return min(rooms, default=None)


def hmm(sys: Path = SYS) -> bool | None:
    """Tell whether nvidia_uvm was allowed to run with HMM; None where the module does not say."""
    said = _read(sys / "module/nvidia_uvm/parameters/uvm_disable_hmm")
    return None if said is None else said.strip() not in {"Y", "1"}


def _rooms(mount: Path, path: str, limit: str, usage: str) -> list[int]:
    """Read a group and all above it, as far as they can be seen from here."""
    inside = Path(path.lstrip("/"))
    found = []
    for group in (inside, *inside.parents):
        most, used = _number(mount / group / limit), _number(mount / group / usage)
        if most is not None and used is not None and most < NO_LIMIT:
            found.append(max(0, most - used))
    return found


def _number(path: Path) -> int | None:
    said = (_read(path) or "").strip()
    return int(said) if said.isdecimal() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
