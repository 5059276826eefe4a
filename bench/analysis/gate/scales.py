"""How differences of a metric are taken, and which of them count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.cases import ITEMS
from bench.schema.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Scale:
    """How differences of a metric are taken: logarithms of new over old, or plain differences of shares."""

    difference: Callable[[float, float], float | None]
    margin: float
    half: float
    shown: Callable[[float], float]
    relative: bool


def scale_of(name: str) -> Scale:
    """Return the scale that a metric's differences are judged on; it has a margin. Accuracies are shares."""
    margin = METRICS[name].margin
    assert margin is not None, "the caller asks is_judged"
    if name in ITEMS:
        return Scale(lambda old, new: new - old, margin, margin / 2, float, relative=False)
    return Scale(_log_ratio, math.log1p(margin), math.log1p(margin / 2), math.expm1, relative=True)


def _log_ratio(old: float, new: float) -> float | None:
    if min(old, new) <= 0 or not (math.isfinite(old) and math.isfinite(new)):
        return None
    return math.log(new / old)
