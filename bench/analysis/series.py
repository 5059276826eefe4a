"""Reading a run's raw series: the timed part, two side by side, an amount a second."""

from __future__ import annotations

from collections.abc import Sequence

from bench.schema.record import Number, RunRecord


def timed(record: RunRecord, series: str) -> list[Number]:
    """Return a series of steps without the untimed ones and without places that have no number."""
    return [v for v in record.series.get(series, ())[record.config.untimed_steps :] if v is not None]


def side_by_side(record: RunRecord, seconds: str, amounts: str, skip: int) -> tuple[list[Number], list[Number]]:
    """Return two series from position `skip` on, without places where either has no number."""
    rows = zip(record.series.get(seconds, ())[skip:], record.series.get(amounts, ())[skip:], strict=False)
    whole = [(s, a) for s, a in rows if s is not None and a is not None]
    return [s for s, _ in whole], [a for _, a in whole]


def rate(seconds: Sequence[Number], amounts: Sequence[Number]) -> float | None:
    """Return the sum of amounts over the sum of seconds; None where there is no time or no amount."""
    return sum(amounts) / sum(seconds) if amounts and sum(seconds) > 0 else None


def timed_seconds(record: RunRecord) -> float | None:
    """Return the wall time of the timed steps: of the block, or where none was measured the sum of the steps."""
    seconds = timed(record, "step.seconds")
    return record.metrics.get("train.timed_seconds", sum(seconds)) if seconds else None


def a_second_of_training(record: RunRecord, series: str) -> float | None:
    """Return the sum of a series over the timed steps a second of their wall time."""
    if "train.timed_seconds" in record.metrics:
        return rate([record.metrics["train.timed_seconds"]], timed(record, series))
    return rate(*side_by_side(record, "step.seconds", series, skip=record.config.untimed_steps))
