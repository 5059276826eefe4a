"""How long runs took, and from that how long others like them will take."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Literal, NamedTuple

from bench.schema import RunConfig, RunRecord, Status
from bench.schema.metrics.memory import STAGES
from bench.store import Stored

Basis = Literal["same", "alike"]

ENDED = (Status.OK, Status.UNSUPPORTED, Status.OOM)
"""Ends of runs that took the time that another one will take."""

ALIKE = ("study", "method", "task", "base", "optimizer", "dtype", "attention")
"""Settings in which runs are the more alike the more of them they share, after the model."""


class Expected(NamedTuple):
    """Seconds that a run should take, and whether the same case took them or a case like it."""

    seconds: float
    basis: Basis


def is_accounted(metric: str) -> bool:
    """Tell whether a metric is a part of a run's time that no other metric holds; stages are parts of `inspect`."""
    phase, _, name = metric.rpartition(".")
    return (name == "seconds" and phase not in STAGES) or metric == "start.import_seconds"


def run_seconds(record: RunRecord) -> float:
    """Return how long a run took in all, in seconds: the sum of its phases and of what the harness needed."""
    return sum(seconds for name, seconds in record.metrics.items() if is_accounted(name))


class Durations:
    """What runs of one device took, to say what others will take."""

    def __init__(self, runs: Iterable[Stored]) -> None:
        self._runs = [run.record for run in runs if run.record.status in ENDED and run_seconds(run.record) > 0]

    def of(self, config: RunConfig) -> Expected | None:
        """Return how long `config` should take; None where no run of its model was made.

        The same case took what it will take. Else the runs of the model that are most alike are scaled: training by
        steps and tokens of a step, evaluation by items, the rest stays as it was; the median of them counts.
        """
        same = [run_seconds(record) for record in self._runs if record.case == config.case]
        if same:
            return Expected(median(same), "same")
        near = [record for record in self._runs if record.config.model == config.model]
        if not near:
            return None
        most = max(_likeness(record.config, config) for record in near)
        found = [_scaled(record, config) for record in near if _likeness(record.config, config) == most]
        return Expected(median(found), "alike")


def _likeness(one: RunConfig, other: RunConfig) -> tuple[bool, int]:
    return one.study == other.study, sum(getattr(one, name) == getattr(other, name) for name in ALIKE)


def _scaled(record: RunRecord, config: RunConfig) -> float:
    made = record.config
    training, judging = record.metrics.get("train.seconds", 0.0), record.metrics.get("evaluate.seconds", 0.0)
    rest = run_seconds(record) - training - judging
    items = config.evaluate_items / made.evaluate_items if made.evaluate_items else 0.0
    return rest + training * _tokens(config) / _tokens(made) + judging * items


def _tokens(config: RunConfig) -> int:
    """Return the positions that a run trains on, as far as its config says."""
    return config.steps * config.gradient_accumulation_steps * config.batch_size * config.sequence_length
