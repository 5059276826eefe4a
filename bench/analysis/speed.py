"""Speeds of a run, computed from its raw series when read; a speed that is missing has a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median, quantiles
from types import MappingProxyType

from bench.analysis.series import a_second_of_training, rate, side_by_side, timed, timed_seconds
from bench.analysis.utilisation import FLOPS, UTILISATION, flops_per_second, why_no_share
from bench.schema.record import RunRecord

FEWEST_FOR_P95 = 20
"""Timed steps below which the 95th percentile is no more than the slowest step."""


def batch_speeds(record: RunRecord) -> list[float]:
    """Return generated tokens a second of each batch of the pass after training, in order."""
    seconds, tokens = side_by_side(record, "evaluate.batch_seconds", "evaluate.batch_tokens", skip=0)
    return [t / s for s, t in zip(seconds, tokens, strict=True) if s > 0 and t > 0]


def why_not(record: RunRecord, name: str) -> str | None:
    """Say why a run that went well lacks the speed `name`; None where it was not asked for, or `name` is no speed."""
    if name == "infer.tokens_per_second" and record.series.get("infer.seconds"):
        return "only the sequence that warms up was generated"
    if name not in TRAINING:
        return None
    return no_headline(record) or _why_no_training_speed(record, name)


def _why_no_training_speed(record: RunRecord, name: str) -> str | None:
    if record.series.get("step.seconds") and not timed(record, "step.seconds"):
        return "no step was timed"
    if name in UTILISATION or name == FLOPS:
        return why_no_share(record, name)
    if name == "train.step_seconds_p95" and timed(record, "step.seconds"):
        return f"fewer than {FEWEST_FOR_P95} steps were timed"
    return None


def no_headline(record: RunRecord) -> str | None:
    """Say why the timed steps of a run are no measure of training's speed; None where they are."""
    if getattr(record.config, "uvm_counters", False):
        return "counters were attached, which slow what they count; the same run without uvm_counters has it"
    if getattr(record.config, "paging", "none") != "none":
        return "its timed steps find optimiser state away and in place in turns; paging.stall compares the two"
    return None


def _headline(derive: Callable[[RunRecord], float | None]) -> Callable[[RunRecord], float | None]:
    """Let a run give no speed whose timed steps are no measure of it."""

    def derived(record: RunRecord) -> float | None:
        return None if no_headline(record) else derive(record)

    return derived


def _step_seconds(record: RunRecord) -> float | None:
    seconds = timed(record, "step.seconds")
    return float(median(seconds)) if seconds else None


def _step_seconds_p95(record: RunRecord) -> float | None:
    """Interpolate linearly between the steps in order, as numpy's default does."""
    seconds = timed(record, "step.seconds")
    return quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) >= FEWEST_FOR_P95 else None


def _energy_per_token(record: RunRecord) -> float | None:
    energy, tokens = record.metrics.get("train.energy"), sum(timed(record, "step.tokens_real"))
    return energy / tokens if energy is not None and tokens else None


def _power(record: RunRecord) -> float | None:
    energy, seconds = record.metrics.get("train.energy"), timed_seconds(record)
    return energy / seconds if energy is not None and seconds else None


def _generated(phase: str, skip: int) -> Callable[[RunRecord], float | None]:
    """Tokens over seconds of what a phase generated, the first `skip` left out."""
    seconds, tokens = (f"{phase}seconds", f"{phase}tokens")
    return lambda record: rate(*side_by_side(record, seconds, tokens, skip))


TRAINING: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "train.step_seconds": _step_seconds,
    "train.step_seconds_p95": _step_seconds_p95,
    "train.tokens_per_second": lambda record: a_second_of_training(record, "step.tokens_real"),
    "train.all_tokens_per_second": lambda record: a_second_of_training(record, "step.tokens_all"),
    "train.trained_tokens_per_second": lambda record: a_second_of_training(record, "step.tokens_trained"),
    "train.energy_per_token": _energy_per_token,
    "train.power": _power,
    FLOPS: flops_per_second,
    **UTILISATION,
})  # fmt: skip

SPEED: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    **{name: _headline(derive) for name, derive in TRAINING.items()},
    "evaluate.tokens_per_second": _generated("evaluate.batch_", skip=0),
    "infer.tokens_per_second": _generated("infer.", skip=1),  # the first sequence warms up
})  # fmt: skip
