"""What is said of every number: unit, direction, noise, where it can exist, meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["B", "s", "tok/s", "tok", "FLOP", "FLOP/s", "B/s", "J", "J/tok", "W", "Hz", "Cel", "bit", "1"]
"""Base units, after UCUM where it has them: bytes, seconds, tokens, operations, joules, watts, hertz, degrees C, bits.

The last is of pure numbers.
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """`noise`: exact (equal in every run), near-exact, noisy (timing) or stochastic (training).

    `raw` names the raw numbers a derived metric is computed from when read; see
    `bench.analysis.values`. `devices` are the devices that can have it at all, all when empty.
    """

    unit: Unit
    better: Literal["lower", "higher", "neither"]
    noise: Literal["exact", "near-exact", "noisy", "stochastic"]
    label: str
    about: str
    raw: str | None = None
    devices: tuple[str, ...] = ()
