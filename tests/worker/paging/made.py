"""Records and windows for the tests, in few words."""

from __future__ import annotations

from bench.worker.paging.canary import CANARY, CANARY_BYTES
from bench.worker.paging.capture import Buffer, Capture, ClockPair
from bench.worker.paging.pressure import GIB, Host
from bench.worker.paging.uvm import CPU, RECORD_BYTES, Access, Cause, Kind, UvmRecord, Window, pack

MIB = 1 << 20
SOMEWHERE = 0x7F0000000000


def moved(
    kind: Kind, size: int, start: int, end: int, address: int = SOMEWHERE, cause: Cause = Cause.USER
) -> UvmRecord:
    """A migration."""
    return UvmRecord(kind, size, start, end, address, CPU, 0, 7, cause)


def fault(groups: int, start: int, end: int, address: int = SOMEWHERE, gpu: int = 0) -> UvmRecord:
    """A GPU page fault."""
    return UvmRecord(Kind.GPU_FAULT, groups, start, end, address, gpu, 0, 7, Access.WRITE)


def captured(records: list[UvmRecord], windows: list[Window], **more: object) -> Capture:
    """A capture of two buffers, as CUPTI 13.0 would deliver them."""
    size, half = RECORD_BYTES[-1], len(records) // 2
    buffers = tuple(
        Buffer(b"".join(pack(record, size) for record in part), tuple(size * n for n in range(len(part))))
        for part in (records[:half], records[half:])
    )
    settings = {"clocks": (ClockPair(1000, 0, 10), ClockPair(2000, 1000, 1010)), **more}
    return Capture(130001, buffers, tuple(windows), **settings)  # type: ignore[arg-type]


CANARY_WINDOW = Window(CANARY, 0, 100, "canary")
CANARY_RECORD = moved(Kind.HTOD, CANARY_BYTES, 10, 20)


def good_pass() -> tuple[list[UvmRecord], list[Window], dict[int, int]]:
    """Canary, first step, resident control, two cold steps that bring back 4 MiB each, another control."""
    windows = [CANARY_WINDOW, *(Window(n, 100 * n + 100, 100 * n + 200) for n in range(5))]
    records = [CANARY_RECORD, fault(9, 110, 120), moved(Kind.DTOH, 4 * MIB, 600, 602)]
    for start in (310, 410):
        records += [
            fault(2, start, start + 40),
            moved(Kind.HTOD, 4 * MIB, start + 10, start + 60, cause=Cause.COHERENCE),
        ]
    return records, windows, {1: 0, 2: 4 * MIB, 3: 4 * MIB, 4: 0}


SAFE = Host(
    vram_free=60 * GIB,
    ram_available=100 * GIB,
    cgroup_headroom=None,
    concurrent_managed_access=True,
    host_page_tables=False,
    other_gpu_processes=0,
    display=False,
    hmm=False,
)
"""A machine on which nothing forbids paging."""
