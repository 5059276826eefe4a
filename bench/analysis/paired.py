"""Two cases on the same test items: how their accuracies differ, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from statistics import fmean
from typing import Literal

from bench.analysis.cases import Case
from bench.analysis.stats import DRAWS, LEVEL, Estimate, draws

Verdict = Literal["better", "worse", "tie", "unknown"]
Answers = Mapping[int, str]
"""Verdicts on the test items, "0" and "1" in the test set's order, by the seed of their training."""


def accuracy_difference(top: Case, bottom: Case, items: str = "after") -> Estimate | None:
    """Return the accuracy of `top` minus that of `bottom`, on the seeds and items that both have; see `difference`.

    None where they share no seed.
    """
    return difference(answers(top, items), answers(bottom, items))


def difference(top: Answers, bottom: Answers) -> Estimate | None:
    """Return the mean paired difference of accuracies, and its interval, from -1 to 1; None without a common seed.

    Percentile interval of a hierarchical bootstrap (Davison and Hinkley 1997, section 3.8): each draw takes seeds
    with replacement, then items, the same for both sides. One seed gives an interval over items alone, which does
    not cover training; so says `how`. Without one where the sides answered different numbers of items, or all alike.
    """
    seeds = sorted(seed for seed in top if top[seed] and bottom.get(seed))
    if not seeds:
        return None
    lengths = {len(side[seed]) for side in (top, bottom) for seed in seeds}
    gaps = [_share(top[seed]) - _share(bottom[seed]) for seed in seeds]
    if len(lengths) > 1:
        return Estimate(fmean(gaps), None, None, len(seeds), "answered different numbers of items; no interval")
    n = lengths.pop()
    if all(top[seed] == bottom[seed] for seed in seeds):
        return Estimate(0.0, None, None, len(seeds), f"all {n} items answered alike; no interval")
    low, high = _bootstrap(tuple(top[seed] for seed in seeds), tuple(bottom[seed] for seed in seeds))
    covers = f"{n} items and {len(seeds)} seeds" if len(seeds) > 1 else f"{n} items of one seed, not over training"
    return Estimate(fmean(gaps), low, high, len(seeds), f"95 % paired bootstrap interval over {covers}")


def verdict(found: Estimate | None) -> Verdict:
    """Say whether a difference is one: a tie where its interval holds 0, or where every item was answered alike."""
    if found is None:
        return "unknown"
    if found.low is None or found.high is None:
        return "tie" if found.value == 0 else "unknown"
    if found.low <= 0 <= found.high:
        return "tie"
    return "better" if found.value > 0 else "worse"


def answers(case: Case, items: str) -> Answers:
    """Return the newest answers of every seed of a case."""
    return {run.record.config.seed: run.record.items[items] for run in case.ok if run.record.items.get(items)}


def _share(bits: str) -> float:
    return bits.count("1") / len(bits)


@lru_cache(maxsize=4096)  # a cell, its verdict and its chart ask the same, and each answer takes tens of milliseconds
def _bootstrap(tops: tuple[str, ...], bottoms: tuple[str, ...]) -> tuple[float, float]:
    import numpy as np

    gaps = np.array(
        [[int(a) - int(b) for a, b in zip(*sides, strict=True)] for sides in zip(tops, bottoms, strict=True)]
    )
    seeds, items = gaps.shape
    of_seeds, of_items = draws(seeds, items)
    drawn = np.sort(((of_seeds @ gaps) * of_items).sum(axis=1))
    tail = round(DRAWS * (1 - LEVEL) / 2)
    return max(-1.0, float(drawn[tail])), min(1.0, float(drawn[-tail - 1]))
