"""How paging is made to happen: the safe way, and what forbids it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

GIB = 1 << 30
CHUNK = 2 << 20
"""Bytes of the blocks in which the driver keeps managed memory."""

MOST_RATIO = 1.25
MOST_OF_FREE = 0.9


class Paged(Protocol):
    """A tensor in managed memory."""

    nbytes: int

    def data_ptr(self) -> int:
        """Return its address."""
        ...


class Mover(Protocol):
    """Moves managed memory; `bench.worker.paging.driver.Driver` does."""

    def prefetch(self, address: int, size: int, device: int | None) -> None:
        """Queue the move to a device, or to the host for None."""

    def synchronize(self) -> None:
        """Wait for it."""


@dataclass(frozen=True, slots=True)
class Host:
    """What decides whether paging is safe here; bytes. None: not known, or for the cgroup, no limit."""

    vram_free: int
    ram_available: int
    cgroup_headroom: int | None
    concurrent_managed_access: bool
    host_page_tables: bool
    other_gpu_processes: int | None
    display: bool | None
    hmm: bool | None


def refuse(host: Host, managed: int, ratio: float = 1.0, *, oversubscription: bool = False) -> list[str]:
    """Return every reason not to page `managed` bytes here; empty means go. Ask before anything is allocated.

    `ratio` is managed bytes over the device memory left for them; up to 1 nothing is
    oversubscribed. Above, a driver bug can hang the machine until it is rebooted
    (NVIDIA/open-gpu-kernel-modules #1223), so what is not known forbids it too.
    """
    reasons: list[str] = []
    if not host.concurrent_managed_access:
        reasons.append("concurrentManagedAccess is 0 (Windows, WSL): nothing is paged on demand.")
    if host.host_page_tables:
        reasons.append("the GPU uses the host's page tables (Grace Hopper): its faults are not what is counted here.")
    if managed > MOST_OF_FREE * host.vram_free:
        reasons.append(f"{managed:,} B of managed memory are more than 90 % of the {host.vram_free:,} B free on it.")
    needed = 2 * managed + 4 * GIB
    for name, room in (("the host", host.ram_available), ("the memory cgroup", host.cgroup_headroom)):
        if room is not None and room < needed:
            reasons.append(f"{name} has {room:,} B left, evicted pages may need {needed:,} B.")
    return reasons + (_refuse_oversubscription(host, ratio, asked=oversubscription) if ratio > 1 else [])


def _refuse_oversubscription(host: Host, ratio: float, *, asked: bool) -> list[str]:
    found = {
        "oversubscription was not asked for.": not asked,
        f"ratio {ratio:.2f} is above {MOST_RATIO}.": ratio > MOST_RATIO,
        "other processes use this GPU, or may: their memory would be evicted too.": host.other_gpu_processes != 0,
        "a display runs on this GPU, or may.": host.display is not False,
        "nvidia_uvm runs with HMM, or may: load it with uvm_disable_hmm=1.": host.hmm is not False,
    }
    return [reason for reason, holds in found.items() if holds]


def chill(tensors: Sequence[Paged], fraction: float, mover: Mover) -> int:
    """Send the first `fraction` of paged state, in the given order, to the host; wait; return the bytes sent.

    A tensor that is not sent whole is cut at a whole chunk, rounded up. The managed bytes
    all fit on the device, so this pages without oversubscribing. Raises `ValueError`
    unless 0 <= fraction <= 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction} is not between 0 and 1")
    wanted = int(sum(tensor.nbytes for tensor in tensors) * fraction)
    sent = 0
    for tensor in tensors:
        if sent >= wanted:
            break
        size = min(tensor.nbytes, -(-(wanted - sent) // CHUNK) * CHUNK)
        mover.prefetch(tensor.data_ptr(), size, None)
        sent += size
    mover.synchronize()
    return sent
