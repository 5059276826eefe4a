"""A comparison as JSON: what every other form is made from, and what programs read."""

from __future__ import annotations

import math
from pathlib import Path

from bench.analysis.gate.comparison import Comparison, Side
from bench.analysis.gate.verdicts import Finding
from bench.schema.comparison import (
    COMPARISON_FORMAT,
    Change,
    ComparisonFact,
    FindingFact,
    SideFact,
    UnreadableFact,
    encode,
)


def as_json(comparison: Comparison) -> str:
    """Write a comparison whole. Numbers are in base units; what is not known is absent, never 0."""
    return encode(
        ComparisonFact(
            format=COMPARISON_FORMAT,
            ending=comparison.ending.value,
            old=_side(comparison.old),
            new=_side(comparison.new),
            counts={verdict.value: count for verdict, count in comparison.counts().items()},
            findings=tuple(map(_finding, comparison.findings)),
        )
    )


def _side(side: Side) -> SideFact:
    unreadable = tuple(UnreadableFact(file=file.path.name, reason=file.reason) for file in side.unreadable)
    name = Path(side.name).name if Path(side.name).is_absolute() else side.name  # no paths of a machine
    return SideFact(name=name, runs=len(side.runs), facts=side.facts(), unreadable=unreadable)


def _finding(found: Finding) -> FindingFact:
    return FindingFact(
        case=found.case, device=found.device, metric=found.metric, verdict=found.verdict.value, why=found.why,
        old=_finite(found.old), new=_finite(found.new), change=_change(found), pairs=found.pairs or None,
        pairs_needed=found.needed, acknowledged=found.acknowledged, old_runs=found.old_runs, new_runs=found.new_runs,
        asked=found.asked,
    )  # fmt: skip


def _change(found: Finding) -> Change | None:
    change = found.change
    if change is None or not math.isfinite(change.value):
        return None
    of = "share of the old value" if found.relative else "difference"
    low, high = _finite(change.low), _finite(change.high)
    return Change(value=change.value, low=low, high=high, n=change.n, how=change.how, of=of)


def _finite(number: float | None) -> float | None:
    """JSON has no infinities."""
    return number if number is not None and math.isfinite(number) else None
