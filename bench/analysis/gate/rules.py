"""Verdicts on metrics that need no statistics: exact ones, and those that repeat up to a grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.gate.verdicts import Verdict
from bench.analysis.stats import Estimate
from bench.schema.metrics import Metric

MCNEMAR = 0.01
"""p below which answers of the same weights under two stacks differ by more than chance."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, why, and the change it rests on; see `Finding`."""

    verdict: Verdict
    why: str
    change: Estimate | None = None
    relative: bool = True
    needed: int | None = None


def directed(metric: Metric, change: float) -> Verdict:
    """Say whether a change is for the better; `change` is new minus old, or a ratio's logarithm, and not 0."""
    if metric.better == "neither":
        return Verdict.CHANGED
    return Verdict.IMPROVED if (change < 0) == (metric.better == "lower") else Verdict.REGRESSED


def is_exact(metric: Metric) -> bool:
    """Tell whether any difference of a pair counts."""
    return metric.noise == "exact" or metric.margin == 0


def is_judged(metric: Metric) -> bool:
    """Tell whether comparisons judge a metric; others are shown only."""
    return metric.noise == "exact" or metric.margin is not None


def exact(metric: Metric, pairs: Sequence[tuple[float, float]]) -> Ruling:
    """Judge values that every run of a case and seed repeats; any difference is one."""
    differ = [(old, new) for old, new in pairs if old != new]
    if not differ:
        return Ruling(Verdict.UNCHANGED, f"equal in all {len(pairs)} pairs", _relative(pairs))
    verdicts = {directed(metric, new - old) for old, new in differ}
    verdict = verdicts.pop() if len(verdicts) == 1 else Verdict.CHANGED
    return Ruling(verdict, f"differs in {len(differ)} of {len(pairs)} pairs, and repeats otherwise", _relative(pairs))


def bytes_held(metric: Metric, olds: Sequence[float], news: Sequence[float]) -> Ruling:
    """Judge peaks of memory: a change of more than margin and grain counts where the sides' ranges do not touch."""
    assert metric.margin is not None, "the caller asks is_judged"
    before, after = median(olds), median(news)
    least = max(metric.margin * before, metric.grain)
    change = _relative([(before, after)])
    if abs(after - before) <= least:
        return Ruling(Verdict.UNCHANGED, f"within {metric.margin:.1%} or {metric.grain / 2**20:.0f} MiB", change)
    apart = min(news) > max(olds) or max(news) < min(olds)
    if apart and min(len(olds), len(news)) > 1:
        why = f"ranges of {len(olds)} and {len(news)} runs do not touch, and medians are more than "
        return Ruling(directed(metric, after - before), f"{why}{least / 2**20:.1f} MiB apart", change)
    why = "the sides' ranges overlap" if not apart else "a single run on a side"
    return Ruling(Verdict.INCONCLUSIVE, why, change, needed=2)


def repeated(metric: Metric, pairs: Sequence[tuple[float, float]]) -> Ruling:
    """Judge numbers that repeat up to rounding, such as errors of kernels: all pairs must move, and the same way."""
    assert metric.margin is not None, "the caller asks is_judged"
    margin = metric.margin
    moved = [new - old for old, new in pairs if abs(new - old) > max(margin * abs(old), metric.grain)]
    change = _relative(pairs)
    if not moved:
        return Ruling(Verdict.UNCHANGED, f"within {margin:.0%} in all {len(pairs)} pairs", change)
    if len(moved) == len(pairs) > 1 and len({difference > 0 for difference in moved}) == 1:
        return Ruling(directed(metric, moved[0]), f"more than {margin:.0%} in each of {len(pairs)} pairs", change)
    why = f"more than {margin:.0%} in {len(moved)} of {len(pairs)} pairs"
    return Ruling(Verdict.INCONCLUSIVE, why, change, needed=max(2, len(pairs)))


def same_weights(metric: Metric, old: str, new: str) -> Ruling:
    """Judge answers that the same weights gave under two stacks, item by item: McNemar's exact test (1947).

    `old` and `new` hold a 0 or 1 for every item, in one order. Not for models trained anew: their items differ by
    more than chance among items.
    """
    from scipy.stats import binomtest

    assert metric.margin is not None, "the caller asks is_judged"
    if len(old) != len(new):
        return Ruling(Verdict.INCOMPARABLE, f"the sides answered {len(old)} and {len(new)} items")
    n, gained = len(old), sum(a < b for a, b in zip(old, new, strict=True))
    lost = sum(a > b for a, b in zip(old, new, strict=True))
    difference = (gained - lost) / n
    if gained + lost == 0:
        return Ruling(Verdict.UNCHANGED, f"all {n} items answered alike", Estimate(0.0, None, None, n, ""), False)
    test = binomtest(gained, gained + lost)
    found = test.proportion_ci(0.95, "exact")
    low, high = ((2 * side - 1) * (gained + lost) / n for side in (found.low, found.high))
    how = f"95 % exact interval over {gained + lost} of {n} items that were answered otherwise"
    change = Estimate(difference, low, high, n, how)
    why = f"{gained} items gained and {lost} lost of {n}, McNemar p = {test.pvalue:.3g}"
    if test.pvalue < MCNEMAR and abs(difference) >= metric.margin:
        return Ruling(directed(metric, difference), why, change, False)
    within = max(abs(low), abs(high)) < metric.margin
    return Ruling(Verdict.UNCHANGED if within else Verdict.INCONCLUSIVE, why, change, False)


def _relative(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """Return the median change against the old value, with the range over pairs; None where an old value is 0."""
    if any(old == 0 for old, _ in pairs):
        return None
    changes = sorted(new / old - 1 for old, new in pairs)
    alone = len(changes) == 1 or changes[0] == changes[-1]
    low, high = (None, None) if alone else (changes[0], changes[-1])
    return Estimate(median(changes), low, high, len(changes), f"median and range of {len(changes)} pairs")
