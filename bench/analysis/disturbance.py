"""Was a run disturbed? Reasons in words, from what it says of its machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.schema import RunRecord

DRIFT = 0.10
"""Relative change of a canary from which the machine was not the same before and after; on a machine left alone
the canary repeats within a few percent."""

MEMORY_STALL_SHARE = 0.01
"""Share of the timed steps in which tasks waited for memory: 1 % is more than most differences looked for."""

MAJOR_FAULTS_A_SECOND = 10.0
"""At 1 ms each, which a disk behind a network or a swap file takes, ten a second are 1 % of the time."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A run whose `metric` is above `most` was disturbed; `words` say so with the value."""

    metric: str
    most: float
    words: str


LIMITS = (
    # two threads with one busy neighbour took up to ten times as long: samples above 0.1 core were thrown away
    Limit("train.neighbour_cores", 0.1, "other processes kept {:.2f} cores busy while it trained"),
    # half of that: stolen time stops the run itself, whichever core it is on
    Limit("train.stolen_cores", 0.05, "the hypervisor gave {:.2f} cores to others while it trained"),
    # paging and scheduling are the whole GPU's, so any other process is one too many
    Limit("train.foreign_processes", 0, "other processes used the GPU: {:.0f}"),
    # heat and the power brake; the software power cap is normal under load and no disturbance
    Limit("train.throttled_seconds", 0, "heat or the power brake held the GPU's clocks back for {:.2f} s"),
)


def disturbances(record: RunRecord) -> list[str]:
    """Say what disturbed a run; nothing where it was not disturbed, and where its machine could not tell."""
    return list(_disturbances(record))


def _disturbances(record: RunRecord) -> Iterator[str]:
    change = drift(record)
    if change is not None and change > DRIFT:
        yield f"the same fixed work was {change:.0%} faster or slower after the run than before"
    yield from influences(record)
    if not pages_on_purpose(record):
        stalled = _share(record, "train.memory_stall", "train.timed_seconds")
        if stalled is not None and stalled > MEMORY_STALL_SHARE:
            yield f"tasks waited for memory during {stalled:.1%} of the timed steps"
        faults = _share(record, "train.major_faults", "train.seconds")
        if faults is not None and faults > MAJOR_FAULTS_A_SECOND:
            yield f"while training, {faults:.0f} page faults a second waited for a disk"


def influences(record: RunRecord) -> list[str]:
    """Say what from outside disturbed a run: the reasons, fixed beforehand, for which a pair of runs is left out."""
    found = [(limit, record.metrics.get(limit.metric)) for limit in LIMITS]
    return [limit.words.format(number) for limit, number in found if number is not None and number > limit.most]


def drift(record: RunRecord) -> float | None:
    """Return the largest relative change of a canary from before to after (0.1: a tenth faster or slower).

    None where no canary sang at both ends.
    """
    changes = []
    for what in ("gemm", "copy"):
        before, after = (record.metrics.get(f"canary.{what}_{when}") for when in ("before", "after"))
        if before and after is not None:
            changes.append(abs(after - before) / before)
    return max(changes, default=None)


def pages_on_purpose(record: RunRecord) -> bool:
    """Tell whether a run holds state that is meant to be paged; its faults are its subject, not a disturbance."""
    return record.config.paging != "none" or bool(record.metrics.get("paging.paged_bytes"))


def _share(record: RunRecord, part: str, seconds: str) -> float | None:
    amount, time = record.metrics.get(part), record.metrics.get(seconds)
    return amount / time if amount is not None and time else None
