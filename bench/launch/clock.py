"""A clock that only ticks while a worker trains, so that pytest-benchmark's table shows seconds a step."""

from __future__ import annotations

from bench.analysis.turns import turn_seconds
from bench.analysis.values import value
from bench.schema import Kind, RunRecord
from bench.schema.catalogue import STUDIES, find

_now = 0.0


def trained_seconds() -> float:
    """Return the clock's reading in seconds; a `timer` for pytest-benchmark."""
    return _now


def advance(seconds: float) -> None:
    """Let the clock tick by what a run reported for one step."""
    global _now  # noqa: PLW0603 (pytest-benchmark knows a timer only as a module-level function)
    _now += seconds


def step_seconds(record: RunRecord) -> float:
    """Return the median seconds of a timed step, in a paging run of a resident one; 0 where a run has none.

    Of another study than training, the seconds that stand for its runs (`Study.timed`). Of a prediction, which times
    nothing, the seconds it took itself.
    """
    if record.kind is Kind.PREDICTED:
        return value(record, "predict.seconds") or 0.0
    metric, _ = find("study", STUDIES, record.config.study).timed
    return value(record, metric) or turn_seconds(record, cold=False) or 0.0
