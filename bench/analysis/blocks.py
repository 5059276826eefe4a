"""Two things in turns within one run, first, second, second, first: a drift of the machine weighs on both alike.

A block of four turns is what the bootstrap draws; what is left over at the end counts for nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import fmean, median

from bench.analysis.stats import BOOTSTRAP_SEED, LEVEL, Estimate
from bench.schema.record import RunRecord

ORDER = (True, False, False, True)
"""Whether a turn of a block is the first thing's."""
DRAWS = 2000
FEWEST_BLOCKS = 6
"""Blocks from which on there is an interval. With two turns of each kind a block, the nominal 95 % covered 80 % of the
time with 3 blocks, 88 % with 6, 92 % with 10 and 94 % with 15 (1,500 simulated runs each, normal and skewed noise)."""

Block = tuple[float, float, float, float]
Compare = Callable[[Sequence[Block]], float]
"""Takes blocks and returns how the first thing compares with the second."""
OfRun = Callable[[RunRecord], list[Block]]
"""Reads the blocks off a run's raw series; none where it has no such turns."""


def is_first(turn: int) -> bool:
    """Tell whether a turn, counted from 0, is the first thing's."""
    return ORDER[turn % len(ORDER)]


def in_blocks(turns: Sequence[float | None]) -> list[Block]:
    """Return the whole blocks of turns in which every turn has a number."""
    fours = zip(*(turns[place :: len(ORDER)] for place in range(len(ORDER))), strict=False)
    return [(a, b, c, d) for a, b, c, d in fours if None not in (a, b, c, d)]


def side(blocks: Sequence[Block], *, first: bool) -> list[float]:
    """Return the numbers of all turns of the first, or the second, thing."""
    return [number for block in blocks for number, ours in zip(block, ORDER, strict=True) if ours is first]


def difference(blocks: Sequence[Block]) -> float:
    """Median of the first thing's turns minus that of the second's."""
    return median(side(blocks, first=True)) - median(side(blocks, first=False))


def ratio(blocks: Sequence[Block]) -> float:
    """Median of what blocks say: the geometric mean of the first thing's two turns over that of the second's.

    Turns are compared with their neighbours alone, so that a spell in which all were slower changes nothing.
    """
    return median(math.sqrt(a * d / (b * c)) for a, b, c, d in blocks)


def estimate(runs: Sequence[Sequence[Block]], compare: Compare, what: str) -> Estimate:
    """Return the mean of what `compare` says of every run's blocks, with a percentile bootstrap interval.

    Each of 2000 draws takes runs, then blocks of each, anew; the seed is fixed. `what` names a block's turns.
    """
    value = fmean(map(compare, runs))
    n = sum(map(len, runs))
    over = f"{n} blocks of {what}" + (f" in {len(runs)} runs" if len(runs) > 1 else "")
    if n < FEWEST_BLOCKS:
        return Estimate(value, None, None, n, f"{over}; no interval with fewer than {FEWEST_BLOCKS}")
    low, high = _interval(tuple(map(tuple, runs)), compare)
    return Estimate(value, min(low, value), max(high, value), n, f"95 % percentile bootstrap over {over}")


@lru_cache(maxsize=1024)  # a cell, its chart and its claim ask the same, and each answer takes tens of milliseconds
def _interval(runs: tuple[tuple[Block, ...], ...], compare: Compare) -> tuple[float, float]:
    rng = random.Random(BOOTSTRAP_SEED)  # noqa: S311 (draws, not secrets)
    draws = sorted(_drawn(runs, compare, rng) for _ in range(DRAWS))
    tail = round(DRAWS * (1 - LEVEL) / 2)
    return draws[tail], draws[-tail - 1]


def pooled(of: OfRun, what: str) -> Callable[[Sequence[RunRecord]], Estimate | None]:
    """Make a function that estimates the ratio over the blocks of runs; None where no run has any. See `estimate`."""

    def over(records: Sequence[RunRecord]) -> Estimate | None:
        runs = [found for found in map(of, records) if found]
        return estimate(runs, ratio, what) if runs else None

    return over


def alone(of: OfRun) -> Callable[[RunRecord], float | None]:
    """Make a function that gives one run's own ratio."""

    def value(record: RunRecord) -> float | None:
        found = of(record)
        return ratio(found) if found else None

    return value


def middle(of: OfRun, *, first: bool) -> Callable[[RunRecord], float | None]:
    """Make a function that gives the median of the first, or the second, thing's turns of a run."""

    def value(record: RunRecord) -> float | None:
        found = side(of(record), first=first)
        return median(found) if found else None

    return value


def _drawn(runs: Sequence[Sequence[Block]], compare: Compare, rng: random.Random) -> float:
    chosen = rng.choices(runs, k=len(runs))
    return fmean(compare(rng.choices(blocks, k=len(blocks))) for blocks in chosen)
