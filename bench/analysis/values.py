"""What a run's numbers are: written down by the run, or computed from its raw series when read.

A value is a float in the metric's base unit (bytes, seconds, tokens a second, 1) or
`None`; `None` always has a `reason`, and is never shown as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from types import MappingProxyType

from bench.schema.catalogue import find
from bench.schema.metrics import METRICS
from bench.schema.record import Number, RunRecord, Status

NOT_ASKED = "this run did not ask for it"


def value(record: RunRecord, name: str) -> float | None:
    """Return the metric `name` of a run in base units, or `None` where the run does not hold it.

    Raises `UnknownNameError` for a name that `METRICS` does not list.
    """
    find("metric", METRICS, name)
    if name in record.metrics:
        return float(record.metrics[name])
    derive = DERIVED.get(name)
    return derive(record) if derive else None


def reason(record: RunRecord, name: str) -> str:
    """Say in words why `value` is `None`: the run's own reason, its failure, or that nobody asked.

    Raises `UnknownNameError` for a name that `METRICS` does not list.
    """
    find("metric", METRICS, name)
    if name in record.absent:
        return record.absent[name]
    if record.failure is not None:
        return f"{record.status.value} in {record.failure.phase}: {record.failure.message}"
    if record.status is not Status.OK:
        return f"the run ended as {record.status.value}"
    if name.startswith("train.loss") and any(loss is None for loss in record.series.get("step.loss", ())):
        return "the loss was not a finite number"
    if record.series.get("step.seconds") and name in ("train.step_seconds", "train.tokens_per_second"):
        return "no step was timed"
    return NOT_ASKED


def batch_speeds(record: RunRecord) -> list[float]:
    """Generated tokens a second of each batch of the pass after training, in order."""
    seconds, tokens = _pairs(record, "evaluate.batch_seconds", "evaluate.batch_tokens", skip=0)
    return [t / s for s, t in zip(seconds, tokens, strict=True) if s > 0 and t > 0]


def _trainable_share(record: RunRecord) -> float | None:
    total = record.metrics.get("parameters.total")
    trainable = record.metrics.get("parameters.trainable")
    return trainable / total if total and trainable is not None else None


def _step_seconds(record: RunRecord) -> float | None:
    timed = [s for s in record.series.get("step.seconds", ())[record.config.untimed_steps :] if s is not None]
    return float(median(timed)) if timed else None


def _training_speed(record: RunRecord) -> float | None:
    return _rate(*_pairs(record, "step.seconds", "step.tokens_real", skip=record.config.untimed_steps))


def _generation_speed(record: RunRecord) -> float | None:
    return _rate(*_pairs(record, "evaluate.batch_seconds", "evaluate.batch_tokens", skip=0))


def _loss_first(record: RunRecord) -> float | None:
    losses = record.series.get("step.loss", ())
    return None if not losses or losses[0] is None else float(losses[0])


def _loss_last(record: RunRecord) -> float | None:
    losses = record.series.get("step.loss", ())
    finite = [loss for loss in losses[-max(1, len(losses) // 10) :] if loss is not None]
    return fmean(finite) if finite else None


def _share_right(items: str) -> Callable[[RunRecord], float | None]:
    def share(record: RunRecord) -> float | None:
        bits = record.items.get(items, "")
        return bits.count("1") / len(bits) if bits else None

    return share


def _pairs(record: RunRecord, seconds: str, tokens: str, skip: int) -> tuple[list[Number], list[Number]]:
    """Two series side by side from position `skip` on, without places where either has no number."""
    rows = zip(record.series.get(seconds, ())[skip:], record.series.get(tokens, ())[skip:], strict=False)
    whole = [(s, t) for s, t in rows if s is not None and t is not None]
    return [s for s, _ in whole], [t for _, t in whole]


def _rate(seconds: Sequence[Number], tokens: Sequence[Number]) -> float | None:
    return sum(tokens) / sum(seconds) if sum(seconds) > 0 else None


DERIVED: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "parameters.trainable_share": _trainable_share,
    "train.step_seconds": _step_seconds,
    "train.tokens_per_second": _training_speed,
    "train.loss_first": _loss_first,
    "train.loss_last": _loss_last,
    "evaluate.accuracy_before": _share_right("before"),
    "evaluate.accuracy": _share_right("after"),
    "evaluate.tokens_per_second": _generation_speed,
})  # fmt: skip
