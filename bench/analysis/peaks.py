"""Which phase of a run set its peak, and what the peak of a step consisted of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bench.analysis.cases import Case
from bench.schema.metrics.memory import PHASES
from bench.schema.record import Number, RunRecord

SORTS: Mapping[str, str] = MappingProxyType({
    "peak_device": "GPU memory in use",
    "peak_process": "GPU memory of the process",
    "peak_reserved": "reserved memory",
    "peak_allocated": "tensor memory",
    "peak_resident": "process memory",
})  # fmt: skip
"""Sorts of memory whose peaks can be set against each other, the most telling first."""


TOTAL = "at_peak.total"


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest peak of one `sort` of memory in a run, the `phase` that reached it first, and its bytes."""

    phase: str
    sort: str
    value: Number

    @property
    def metric(self) -> str:
        """The metric that holds it."""
        return f"{self.phase}.{self.sort}"


def highest(record: RunRecord, sort: str) -> Peak | None:
    """Return the highest peak of one sort over all phases; the earlier phase of two equal ones."""
    known = [Peak(phase, sort, record.metrics[f"{phase}.{sort}"]) for phase in _known_phases(record, sort)]
    return max(known, key=lambda peak: peak.value, default=None)


def telling_sort(record: RunRecord) -> str | None:
    """Return the sort of memory to judge a run's phases by: of those that most phases hold, the most telling.

    A sort that only some phases hold would favour these. None where no sort is known for two phases.
    """
    held = {sort: len(_known_phases(record, sort)) for sort in SORTS}
    best = max(held, key=lambda sort: held[sort])
    return best if held[best] > 1 else None


def set_by(case: Case) -> tuple[str, str] | None:
    """Say which phase set the maximum in the runs whose numbers stand, and of which memory; None if unknown."""
    records = [run.record for run in case.answers]
    sorts = [sort for sort in map(telling_sort, records) if sort]
    if not sorts:
        return None
    sort = max(set(sorts), key=lambda one: (sorts.count(one), -list(SORTS).index(one)))
    peaks = [peak for peak in (highest(record, sort) for record in records) if peak]
    return agreement([peak.phase for peak in peaks]), sort


def share_of_peak(record: RunRecord, metric: str) -> float | None:
    """Return the share that an `at_peak` metric has in all bytes at the step's peak; None where nobody looked."""
    part, total = record.metrics.get(metric), record.metrics.get(TOTAL)
    return part / total if part is not None and total else None


def agreement(answers: Sequence[str]) -> str:
    """Say what runs agree on: "train", or "train in 2 of 3 runs, load in 1"."""
    counted = Counter(answers).most_common()
    if len(counted) <= 1:
        return answers[0] if answers else ""
    first, *rest = counted
    return f"{first[0]} in {first[1]} of {len(answers)} runs, " + ", ".join(f"{name} in {n}" for name, n in rest)


def _known_phases(record: RunRecord, sort: str) -> list[str]:
    return [phase for phase in PHASES if f"{phase}.{sort}" in record.metrics]
