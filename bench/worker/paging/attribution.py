"""Unified-memory records given to the windows they belong to, and to the tensors whose pages moved.

Counts and bytes belong to the window in which a record starts. Time is never summed over
records, which overlap, but is the length of the union of their intervals within a window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bench.worker.paging.intervals import Interval, clip, length, subtract, union
from bench.worker.paging.uvm import DIRECTION, TIMED, Kind, UvmRecord, Window

OTHER = "(other)"
"""Owner of pages that belong to no known tensor."""


@dataclass(slots=True)
class Counts:
    """What records say without their durations. `bytes` is by direction and cause.

    `records` is by kind, unknown kinds too. A fault batch is a distinct pair of GPU and end
    of faults: the driver queues one replay for a batch. `untimed` records should have an
    end and have none.
    """

    bytes: Counter[tuple[str, int]] = field(default_factory=Counter)
    records: Counter[int] = field(default_factory=Counter)
    fault_groups: int = 0
    batches: set[tuple[int, int]] = field(default_factory=set)
    untimed: int = 0

    @property
    def fault_batches(self) -> int:
        """Number of fault batches."""
        return len(self.batches)

    def moved(self, direction: str) -> int:
        """Bytes that went "htod", "dtoh" or "dtod", whatever the cause."""
        return sum(size for (way, _), size in self.bytes.items() if way == direction)

    def add(self, record: UvmRecord) -> None:
        """Count a record."""
        self.records[record.kind] += 1
        if record.kind in DIRECTION:
            self.bytes[DIRECTION[Kind(record.kind)], record.flags] += record.value
        elif record.kind == Kind.GPU_FAULT:
            self.fault_groups += record.value
            self.batches.add((record.source, record.end))
        self.untimed += record.kind in TIMED and record.interval is None


@dataclass(frozen=True, slots=True)
class Paged:
    """What one window held; nanoseconds.

    `active_ns`, the union of faults, migrations and throttling, is an upper bound of what
    paging can have cost. `exposed_ns` is the part of it with no kernel running, and all
    faults and throttling, which block warps within kernels; None without a kernel trace.
    """

    window: Window
    counts: Counts
    fault_ns: int
    htod_ns: int
    dtoh_ns: int
    migration_ns: int
    throttle_ns: int
    active_ns: int
    exposed_ns: int | None


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses of a managed tensor: `size` bytes from `start`."""

    start: int
    size: int
    owner: str


class _Timeline:
    """The unions of all records, to be read window by window."""

    def __init__(self, records: Iterable[UvmRecord], kernels: Iterable[Interval] | None) -> None:
        timed = [(record.kind, record.interval) for record in records]
        only = {kind: union(span for k, span in timed if k == kind and span) for kind in TIMED}
        self.faults, self.throttling = only[Kind.GPU_FAULT], only[Kind.THROTTLING]
        self.htod, self.dtoh = only[Kind.HTOD], only[Kind.DTOH]
        self.migrations = union([*self.htod, *self.dtoh, *only[Kind.DTOD]])
        blocking = [*self.faults, *self.throttling]
        self.active = union([*self.migrations, *blocking])
        self.exposed = None if kernels is None else union([*subtract(self.active, union(kernels)), *blocking])

    def within(self, window: Window, counts: Counts) -> Paged:
        """Measure the unions in a window."""

        def inside(spans: Sequence[Interval]) -> int:
            return length(clip(spans, window.start, window.end))

        return Paged(
            window, counts, fault_ns=inside(self.faults), htod_ns=inside(self.htod), dtoh_ns=inside(self.dtoh),
            migration_ns=inside(self.migrations), throttle_ns=inside(self.throttling), active_ns=inside(self.active),
            exposed_ns=None if self.exposed is None else inside(self.exposed),
        )  # fmt: skip


def attribute(
    records: Sequence[UvmRecord], windows: Iterable[Window], kernels: Iterable[Interval] | None = None
) -> tuple[list[Paged], Counts]:
    """Return what each window held, in order of time, and what started outside all of them.

    Raises `ValueError` if windows overlap or end before they start.
    """
    ordered = sorted(windows, key=lambda window: (window.start, window.end))
    if any(window.end < window.start for window in ordered) or any(b.start < a.end for a, b in pairwise(ordered)):
        raise ValueError("windows overlap or end before they start")
    counts, outside = [Counts() for _ in ordered], Counts()
    for record in records:
        place = bisect_right(ordered, record.start, key=lambda window: window.start) - 1
        inside = place >= 0 and record.start < ordered[place].end
        (counts[place] if inside else outside).add(record)
    timeline = _Timeline(records, kernels)
    return [timeline.within(*pair) for pair in zip(ordered, counts, strict=True)], outside


def whole_steps(windows: Iterable[Window]) -> list[Window]:
    """Join the phases of each step: one window from its first start to its last end."""
    steps: dict[int, Window] = {}
    for window in windows:
        known = steps.get(window.index, window)
        steps[window.index] = Window(window.index, min(known.start, window.start), max(known.end, window.end))
    return list(steps.values())


def by_owner(records: Iterable[UvmRecord], ranges: Iterable[Range]) -> Counter[tuple[str, str]]:
    """Return bytes moved by (owner, direction).

    A migration covers `value` bytes from its address; one that spans several tensors is
    split by overlap, and what no tensor owns is `OTHER`'s. Raises `ValueError` if ranges overlap.
    """
    ordered = sorted((one for one in ranges if one.size > 0), key=lambda one: one.start)
    if any(b.start < a.start + a.size for a, b in pairwise(ordered)):
        raise ValueError("two tensors own the same addresses")
    moved: Counter[tuple[str, str]] = Counter()
    for record in records:
        if record.kind not in DIRECTION:
            continue
        direction, end = DIRECTION[Kind(record.kind)], record.address + record.value
        left = record.value
        for one in ordered[max(bisect_right(ordered, record.address, key=lambda one: one.start) - 1, 0) :]:
            if one.start >= end:
                break
            shared = min(end, one.start + one.size) - max(record.address, one.start)
            if shared > 0:
                moved[one.owner, direction] += shared
                left -= shared
        if left:
            moved[OTHER, direction] += left
    return moved
