"""Can optimiser state be paged here, and can what it costs be seen?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bench.errors import UnsupportedError
from bench.worker.paging import cupti, driver
from bench.worker.paging.confine import Confinement
from bench.worker.paging.host import HostPager
from bench.worker.paging.mapped import SMALLEST, MappedAdamW

UVM_TOOLS = Path("/dev/nvidia-uvm-tools")
LIMIT = 2**34


def checks(device: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield what a device's paging needs, with a check that says how or raises why not."""
    if device == "cpu":
        yield "paging of optimiser state", mapped_state
        yield "memory limit that pages", limited
    if device == "cuda":
        yield "paging of optimiser state", managed
        yield "unified-memory counters", counters


def mapped_state() -> str:
    """Put state into a mapped file, move it out, and see that it is out."""
    weight = torch.nn.Parameter(torch.zeros(SMALLEST))
    optimizer = MappedAdamW([weight])
    pager = HostPager(optimizer.paged_ranges())
    moved, held = pager.move_out(1.0), pager.paged_bytes()
    if moved < 0.9 * held:
        raise UnsupportedError(f"of {held} B sent to disk {held - moved} B stayed in memory.")
    return f"in a mapped file; {moved} B moved out and seen to be out"


def limited() -> str:
    """Enter a memory group of this process's own."""
    with Confinement() as group:
        group.limit(LIMIT)
    return "in a memory group of the run's own"


def managed() -> str:
    """Ask the driver whether pages move on demand."""
    found = driver.open_driver()
    if not found.concurrent_managed_access(0):
        raise UnsupportedError("concurrentManagedAccess is 0 (Windows, WSL): nothing is paged on demand.")
    return "managed memory moves on demand"


def counters() -> str:
    """Find CUPTI and the device file it reads from; `doctor --gpu` runs them against a known answer."""
    library = cupti.open_mapped()
    if not UVM_TOOLS.exists():
        raise UnsupportedError(f"{UVM_TOOLS} is missing: give the container the device, or run on the host.")
    return f"CUPTI {library.version()}; `ftbench doctor --gpu` tries it"
