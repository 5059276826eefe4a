"""How much runs of one case vary: what a comparison's own pairs say of a machine, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from bench.analysis.gate.judge import Wanted, every, members
from bench.analysis.gate.sides import Twin


@dataclass(frozen=True, slots=True)
class Noise:
    """The spread of one run of a metric: the median over cases, and the smallest and largest of them.

    Relative standard deviations, of accuracies absolute: that of a pair's differences over the root of two.
    """

    metric: str
    cases: int
    pairs: int
    typical: float
    least: float
    most: float


def noise(twins: Sequence[Twin], wanted: Wanted = every, allowed: Collection[str] = ()) -> list[Noise]:
    """Return the spreads of all metrics that vary and have pairs in turns or by seed, from the screen's pairs.

    A change of the mean from one side to the other does not count as noise.
    """
    found = []
    for metric, held in members(twins, wanted, allowed).items():
        spreads = sorted(stdev(member.screen) / math.sqrt(2) for _, member in held)
        pairs = sum(len(member.screen) for _, member in held)
        found.append(Noise(metric, len(spreads), pairs, median(spreads), spreads[0], spreads[-1]))
    return found
