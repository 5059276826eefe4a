"""What a session of the counters brought back, before anything is concluded from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.worker.paging.uvm import UvmRecord, Window, unpack


@dataclass(frozen=True, slots=True)
class ClockPair:
    """CUPTI's clock read between two readings of the monotonic one; nanoseconds."""

    cupti: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """The bytes of one buffer, and where CUPTI's own parser saw its records begin."""

    raw: bytes
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Losses:
    """Everything known to be missing. CUPTI's own count need not include what the driver dropped before it.

    `dropped` records, by CUPTI's count, None where it would not tell; `foreign` buffers
    completed that were never requested; buffers `unreturned` although they hold records;
    bytes `over_limit`, completed after the session had kept as much as it may.
    """

    dropped: int | None = 0
    foreign: int = 0
    unreturned: int = 0
    over_limit: int = 0


@dataclass(frozen=True, slots=True)
class Capture:
    """Raw buffers, the windows of the same clock, and what is known to be missing or wrong.

    `api` is cuptiGetVersion's answer. `faults` are sentences, each of which alone makes the
    capture useless.
    """

    api: int
    buffers: tuple[Buffer, ...]
    windows: tuple[Window, ...]
    clocks: tuple[ClockPair, ...]
    losses: Losses = Losses()
    faults: tuple[str, ...] = ()

    def records(self) -> list[UvmRecord]:
        """Decode all unified-memory records, in order of delivery."""
        found = (unpack(buffer.raw, offset) for buffer in self.buffers for offset in buffer.offsets)
        return [record for record in found if record is not None]


def clock_step(clocks: Sequence[ClockPair]) -> int:
    """Return the smallest step, in ns, of CUPTI's clock against the monotonic one that explains all pairs.

    A pair says that their difference lay between `cupti - after` and `cupti - before`, so a
    process held up between two readings widens a pair but never looks like a step.
    """
    if not clocks:
        return 0
    return max(0, max(pair.cupti - pair.after for pair in clocks) - min(pair.cupti - pair.before for pair in clocks))
