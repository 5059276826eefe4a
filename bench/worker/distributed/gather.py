"""One record of several: what the processes of a run each left becomes what the run did, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from bench.schema import Failure, RunRecord, Status
from bench.schema.death import death
from bench.worker.logbook import Logbook

Number = int | float
Folded = Callable[[Sequence[Number]], Number]

SERIES: Mapping[str, Folded] = MappingProxyType({
    "step.seconds": max,  # a step is over when the slowest is done
    "step.cpu_seconds": sum,
    "step.loss": fmean,  # each is the mean over the whole batch of what its own part adds, times the parts
    "step.tokens_all": sum,
    "step.tokens_real": sum,
    "step.tokens_trained": sum,
})  # fmt: skip
"""How a step's numbers in every process become the step's; of other series the first process's count."""

GREATEST = ("paging.state_bytes", "data.truncated")
"""Numbers that are not alike in all processes: their greatest is kept."""

ENERGY, NEIGHBOURS = "train.energy", "train.neighbour_cores"

EACH = (
    "load.peak_allocated", "load.peak_resident", "train.peak_allocated", "train.peak_reserved", "train.peak_resident",
    "train.peak_process", "paging.state_bytes", "distributed.bytes",
)  # fmt: skip
"""Numbers of which every process's own is kept, in their order, as series `rank.<name>`."""


@dataclass(frozen=True, slots=True)
class End:
    """How one process ended: its exit code (negative for a signal, None while it lives), its record and its phase.

    `left_at` is when it left the record, in seconds of any clock.
    """

    exit_code: int | None
    record: RunRecord | None
    phase: str
    left_at: float = 0.0


def fold(logbook: Logbook, records: Sequence[RunRecord], *, whole: bool = True) -> None:
    """Write down what processes did together; `records` are theirs, in their order.

    Peaks are the greatest of any process. What all have alike is the first one's. Where not all left a record (not
    `whole`), no list has one number for each.
    """
    first = records[0]
    logbook.metrics |= first.metrics
    logbook.absent |= first.absent
    logbook.resolve(first.resolved)
    logbook.environment |= first.environment
    for name in first.metrics:
        if ".peak_" in name or name in GREATEST:
            logbook.metrics[name] = max(record.metrics[name] for record in records if name in record.metrics)
    if ENERGY in first.metrics and first.config.device != "cpu":  # a CPU's meter counts what all of them take
        logbook.metrics[ENERGY] = sum(record.metrics.get(ENERGY, 0) for record in records)
    if NEIGHBOURS in first.metrics:
        logbook.metrics[NEIGHBOURS] = max(0.0, first.metrics[NEIGHBOURS] - sum(map(_own_cores, records[1:])))
    for name, values in first.series.items():
        logbook.series[name] = _folded(name, [record.series.get(name, ()) for record in records], values)
    for name in EACH:
        kept = f"rank.{name}"
        if whole and kept not in logbook.series and all(name in record.metrics for record in records):
            logbook.keep_series(kept, [record.metrics[name] for record in records])
    if peaks := [peak for peak in logbook.series.get("rank.train.peak_allocated", ()) if peak is not None]:
        logbook.metrics["train.peak_allocated"] = max(peaks)


def _own_cores(record: RunRecord) -> float:
    """Return how many cores a process kept busy in the timed steps, which the others took for a neighbour's."""
    seconds = record.metrics.get("train.timed_seconds")
    used = record.series.get("step.cpu_seconds", ())[record.config.untimed_steps :]
    return sum(spent for spent in used if spent is not None) / seconds if seconds else 0.0


def _folded(
    name: str, of_all: Sequence[Sequence[Number | None]], of_first: tuple[Number | None, ...]
) -> tuple[Number | None, ...]:
    """Fold a series step by step; a step that a process has no number for has none, and one not all made is left out.

    A series that is not folded is the first process's.
    """
    folded = SERIES.get(name)
    if folded is None:
        return of_first
    return tuple(None if None in values else folded(values) for values in zip(*of_all))  # noqa: B905


def cause(ends: Sequence[End]) -> tuple[Status, Failure]:
    """Say why a run ended that did not end well: which process was the first, and how.

    Memory that ran out explains what other processes complain of, and so does a process that died; else the first
    complaint counts. Processes that neither complained nor ended are named too: others may have waited for them.
    """
    told = {rank: end.record for rank, end in enumerate(ends) if end.record and end.record.failure}
    for rank, record in told.items():
        if record.status is Status.OOM:
            return record.status, _of(rank, record, ends)
    for rank, end in enumerate(ends):
        if end.record is None and end.exit_code:
            return Status.CRASHED, _death(rank, end)
    if not told:
        return Status.CRASHED, Failure(phase=ends[0].phase, message="a process ended without a record.")
    rank = min(told, key=lambda number: ends[number].left_at)
    return told[rank].status, _of(rank, told[rank], ends)


def _of(rank: int, record: RunRecord, ends: Sequence[End]) -> Failure:
    assert record.failure is not None
    waiting = [f"rank {other} was still in {end.phase}" for other, end in enumerate(ends)
               if end.exit_code is None and end.record is None]  # fmt: skip
    said = "; ".join([f"rank {rank}: {record.failure.message}", *waiting])
    return Failure(phase=record.failure.phase, message=said[:2000], bytes_requested=record.failure.bytes_requested)


def _death(rank: int, end: End) -> Failure:
    assert end.exit_code is not None
    words, signal = death(end.exit_code)
    return Failure(phase=end.phase, message=f"rank {rank}: {words}", signal=signal)
