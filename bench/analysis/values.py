"""What a run's numbers are: written down by the run, or computed from its raw series when read.

A value is a float in the metric's base unit (bytes, seconds, tokens a second, 1) or
`None`; `None` always has a `reason`, and is never shown as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from statistics import fmean
from types import MappingProxyType

from bench.analysis import stall
from bench.analysis.adapters import ADAPTERS
from bench.analysis.bus import BUS
from bench.analysis.disturbance import drift
from bench.analysis.inference import INFERENCE
from bench.analysis.speed import SPEED, batch_speeds, why_not
from bench.schema.catalogue import find
from bench.schema.metrics import METRICS, Metric
from bench.schema.metrics.memory import CATEGORIES
from bench.schema.record import Kind, RunRecord, Status

NOT_ASKED = "this run did not ask for it"
NOT_COMPUTED = "nothing is computed in a prediction"
NOT_PREDICTED = "predictions do not hold it"
NOT_PUBLISHED = "its source does not say"


def is_answer(record: RunRecord) -> bool:
    """Tell whether a record's numbers stand: its run went well, or it predicts what a run would hold that cannot fit.

    A prediction is made without a limit, and only then the card's capacity is held against it.
    """
    unlimited = record.kind is Kind.PREDICTED and "predict.capacity" in record.metrics
    return record.status is Status.OK or (unlimited and record.status is Status.OOM)


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
    """Say in words why `value` is `None`: the run's own reason, the device, its failure, or that nobody asked.

    Raises `UnknownNameError` for a name that `METRICS` does not list.
    """
    metric = find("metric", METRICS, name)
    if name in record.absent:
        return record.absent[name]
    return _why_not_of_this_kind(record, name) or _why_not_run(record, name, metric)


def _why_not_of_this_kind(record: RunRecord, name: str) -> str | None:
    """What no run left behind lacks most of what runs have."""
    if record.kind is Kind.PREDICTED and is_answer(record):
        return _why_not_at_peak(record, name) or (NOT_PREDICTED if METRICS[name].unit == "B" else NOT_COMPUTED)
    return NOT_PUBLISHED if record.kind is Kind.PUBLISHED else None


def _why_not_run(record: RunRecord, name: str, metric: Metric) -> str:
    if metric.devices and record.config.device.partition(":")[0] not in metric.devices:
        return f"exists on {' and '.join(metric.devices)} only"
    if record.failure is not None:
        return f"{record.status.value} in {record.failure.phase}: {record.failure.message}"
    if record.status is not Status.OK:
        return f"the run ended as {record.status.value}"
    if name.startswith("train.loss") and any(loss is None for loss in record.series.get("step.loss", ())):
        return "the loss was not a finite number"
    why = why_not(record, name) or _why_not_at_peak(record, name) or _why_no_paging(record, name)
    return why or record.absent.get(str(metric.raw), NOT_ASKED)


def _why_not_at_peak(record: RunRecord, name: str) -> str | None:
    """All parts of a peak are missing for one reason; but where its sum is known, a part left out was not there."""
    where, _, category = name.partition(".")
    if where != "at_peak":
        return None
    if category in CATEGORIES and "at_peak.total" in record.metrics:
        return "nothing of this was alive at the peak"
    return record.absent.get("at_peak.total")


def _why_no_paging(record: RunRecord, name: str) -> str | None:
    """A run that was to have cold steps says why they give no number."""
    return stall.why_not(record, name) if name in stall.PAGING and "step.chilled_bytes" in record.series else None


def _trainable_share(record: RunRecord) -> float | None:
    total = record.metrics.get("parameters.total")
    trainable = record.metrics.get("parameters.trainable")
    return trainable / total if total and trainable is not None else None


def _loss_first(record: RunRecord) -> float | None:
    losses = record.series.get("step.loss", ())
    return None if not losses or losses[0] is None else float(losses[0])


def _loss_last(record: RunRecord) -> float | None:
    losses = record.series.get("step.loss", ())
    finite = [loss for loss in losses[-max(1, len(losses) // 10) :] if loss is not None]
    return fmean(finite) if finite else None


def _loss_rise(record: RunRecord) -> float | None:
    """Return the largest rise above the lowest mean so far; None where a loss was not finite."""
    losses = [loss for loss in record.series.get("step.loss", ()) if loss is not None]
    if not losses or len(losses) < len(record.series["step.loss"]):
        return None
    width = max(1, len(losses) // 10)
    means = [fmean(losses[first : first + width]) for first in range(0, len(losses), width)]
    return max(mean - lowest for mean, lowest in zip(means, accumulate(means, min), strict=True))


def _diverged(record: RunRecord) -> float | None:
    losses = record.series.get("step.loss", ())
    if not losses:
        return None
    last = _loss_last(record)
    highest = max((loss for loss in losses[: max(1, len(losses) // 10)] if loss is not None), default=None)
    return float(None in losses or highest is None or last is None or last > highest)


def _share_right(items: str) -> Callable[[RunRecord], float | None]:
    def share(record: RunRecord) -> float | None:
        bits = record.items.get(items, "")
        return bits.count("1") / len(bits) if bits else None

    return share


OUTCOME: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "parameters.trainable_share": _trainable_share,
    "train.loss_first": _loss_first,
    "train.loss_last": _loss_last,
    "train.loss_rise": _loss_rise,
    "train.diverged": _diverged,
    "evaluate.accuracy_before": _share_right("before"),
    "evaluate.accuracy": _share_right("after"),
    "merging.accuracy": _share_right("merged"),
})  # fmt: skip

DERIVED: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    **OUTCOME,
    **SPEED,
    **stall.PAGING,
    **BUS,
    **INFERENCE,
    **ADAPTERS,
    "canary.drift": drift,
})  # fmt: skip
"""How every metric that names raw numbers is computed from them."""

__all__ = ["DERIVED", "NOT_ASKED", "batch_speeds", "reason", "value"]
