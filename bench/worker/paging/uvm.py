"""Records of CUPTI's unified-memory counters: their bytes, and what each field means.

Layout and meaning: `CUpti_ActivityUnifiedMemoryCounter2` and `...3` in cupti_activity.h.
Both begin with the same 64 bytes; CUPTI up to 12.6 has no more, from 12.8 on 40 follow.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from bench.worker.paging.intervals import Interval

ACTIVITY_KIND = 25
"""CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER."""

CPU = 0xFFFFFFFF
"""Where source or target is the host."""

PREFIX = struct.Struct("<iiQQQQIIIIII")
"""kind, counter, value, start, end, address, source, target, stream, process, flags, padding: 64 bytes."""

RECORD_BYTES = (64, 104)
"""Sizes of a record: CUPTI up to 12.6, and from 12.8 on."""


class Kind(IntEnum):
    """What a record counts."""

    HTOD = 1
    DTOH = 2
    CPU_FAULT = 3
    GPU_FAULT = 4
    THRASHING = 5
    THROTTLING = 6
    REMOTE_MAP = 7
    DTOD = 8


class Cause(IntEnum):
    """Why pages moved: `flags` of a migration. USER is an explicit prefetch, COHERENCE a fault."""

    UNKNOWN = 0
    USER = 1
    COHERENCE = 2
    PREFETCH = 3
    EVICTION = 4
    ACCESS_COUNTERS = 5


class Access(IntEnum):
    """What was being done: `flags` of a fault."""

    UNKNOWN = 0
    READ = 1
    WRITE = 2
    ATOMIC = 3
    PREFETCH = 4


DIRECTION = {Kind.HTOD: "htod", Kind.DTOH: "dtoh", Kind.DTOD: "dtod"}
"""Kinds that move bytes, and which way."""

TIMED = frozenset({Kind.HTOD, Kind.DTOH, Kind.DTOD, Kind.GPU_FAULT, Kind.THROTTLING})
"""Kinds whose `end` means something; of the others it must be ignored."""


@dataclass(frozen=True, slots=True)
class UvmRecord:
    """One record. Times are nanoseconds of CUPTI's clock.

    `value` is bytes of a migration, the number of fault groups for the same page of a GPU
    fault, and a program counter of a CPU fault. A migration lasts from its start to its end
    on the GPU; a GPU fault from when the driver began to process it to when it queued the
    replay, so all faults of a batch end together.
    """

    kind: int
    value: int
    start: int
    end: int
    address: int
    source: int = 0
    target: int = 0
    process: int = 0
    flags: int = 0

    @property
    def interval(self) -> Interval | None:
        """Return (start, end); None where the end means nothing or was not recorded."""
        return (self.start, self.end) if self.kind in TIMED and self.end > self.start > 0 else None


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) on CUPTI's clock between two moments at which the device was synchronised; `index` is the step."""

    index: int
    start: int
    end: int
    phase: str = "step"


def pack(record: UvmRecord, size: int = RECORD_BYTES[-1]) -> bytes:
    """Lay a record out as CUPTI does, `size` bytes long; the inverse of `unpack`."""
    fields = (record.kind, record.value, record.start, record.end, record.address, record.source, record.target)
    return PREFIX.pack(ACTIVITY_KIND, *fields, 0, record.process, record.flags, 0).ljust(size, b"\0")


def unpack(raw: bytes, offset: int) -> UvmRecord | None:
    """Read the record at `offset`; None if it is of another activity."""
    activity, kind, value, start, end, address, source, target, _, process, flags, _ = PREFIX.unpack_from(raw, offset)
    if activity != ACTIVITY_KIND:
        return None
    return UvmRecord(kind, value, start, end, address, source, target, process, flags)
