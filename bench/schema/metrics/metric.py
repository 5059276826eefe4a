"""What is said of every number: unit, direction, noise, where it can exist, meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

Unit = Literal["B", "s", "tok/s", "tok", "FLOP", "FLOP/s", "B/s", "J", "J/tok", "W", "Hz", "Cel", "bit", "1"]
"""Base units, after UCUM where it has them: bytes, seconds, tokens, operations, joules, watts, hertz, degrees C, bits.

The last is of pure numbers.
"""


class Limits(TypedDict):
    """Which changes count, for metrics that share it; see `Metric`."""

    margin: float
    grain: float


@dataclass(frozen=True, slots=True)
class Metric:
    """`noise`: exact (equal in every run), near-exact, noisy (timing) or stochastic (training).

    `raw` names the raw numbers a derived metric is computed from when read; see
    `bench.analysis.values`. `devices` are the devices that can have it at all, all when empty.
    `margin` is the smallest change that a comparison of two versions calls one: relative to the old value, of
    accuracies absolute; with `grain`, a change smaller than that many base units is none either. Without a margin a
    metric is shown and not judged; exact ones have none and are always judged.
    """

    unit: Unit
    better: Literal["lower", "higher", "neither"]
    noise: Literal["exact", "near-exact", "noisy", "stochastic"]
    label: str
    about: str
    raw: str | None = None
    devices: tuple[str, ...] = ()
    margin: float | None = None
    grain: float = 0.0
