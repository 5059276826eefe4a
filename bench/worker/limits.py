"""A limit on the memory a run may take on the host, so that running out is an error and not the kernel's kill."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench.errors import BadValueError, UnsupportedError


def limit_memory(limit: int, status: Path = Path("/proc/self/status")) -> None:
    """Let this process take `limit` bytes of private memory; 0 does not limit.

    RLIMIT_DATA, which since Linux 4.7 covers every private writable mapping (man getrlimit): heap,
    tensors and thread stacks, touched or not; neither program code nor mapped files. Raises
    `BadValueError` for less than the process holds already, `UnsupportedError` where there is no such limit.
    """
    if not limit:
        return
    if sys.platform != "linux":
        raise UnsupportedError(f"memory_limit needs Linux; {sys.platform} does not limit a process's memory.")
    import resource

    held = held_bytes(status)
    if limit <= held:
        raise BadValueError(f"memory_limit={limit} bytes is below the {held} bytes this process holds before the run.")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY and limit > hard:
        raise BadValueError(
            f"memory_limit={limit} bytes is above the {hard} bytes this session may take (ulimit -H -d)."
        )
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def held_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return what counts towards the limit now: VmData of /proc/self/status, in bytes."""
    found = re.search(r"^VmData:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    if not found:
        raise UnsupportedError(f"{status} does not say what this process holds (VmData).")
    return int(found.group(1)) * 1024
