"""Verdicts on metrics that need no statistics: exact ones, and those that repeat up to a grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.cases import ITEMS
from bench.analysis.gate.verdicts import Verdict
from bench.analysis.stats import Estimate
from bench.schema.metrics import Metric

MCNEMAR = 0.01
"""p below which answers of the same weights under two stacks differ by more than chance."""
MANY, MOST_OF = 5, 0.8
"""Pairs from which on most of them outweigh the others, and the share that is most."""


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


def margin_in_words(name: str, metric: Metric) -> str:
    """Say from which difference on a comparison calls a change one; empty of a metric that is not judged."""
    if metric.noise == "exact" or metric.margin == 0:
        return "any"
    if metric.margin is None:
        return ""
    unit = "points" if name in ITEMS else "%"
    grain = f" and {metric.grain / 2**20:g} MiB" if metric.unit == "B" and metric.grain else ""
    return f"{metric.margin * 100:g} {unit}{grain or (f' and {metric.grain:g}' if metric.grain else '')}"


def exact(metric: Metric, pairs: Sequence[tuple[float, float]]) -> Ruling:
    """Judge values that every run of a case and seed repeats; any difference is one."""
    differ = [(old, new) for old, new in pairs if old != new]
    if not differ:
        return Ruling(Verdict.UNCHANGED, f"equal in all {len(pairs)} pairs", _relative(pairs))
    verdicts = {directed(metric, new - old) for old, new in differ}
    verdict = verdicts.pop() if len(verdicts) == 1 else Verdict.CHANGED
    return Ruling(verdict, f"differs in {len(differ)} of {len(pairs)} pairs; equal runs repeat it", _relative(pairs))


def recurring(metric: Metric, pairs: Sequence[tuple[float, float]]) -> Ruling:
    """Judge what either happens or does not in a run, such as divergence: it has to happen again to count."""
    differ = [new - old for old, new in pairs if old != new]
    if not differ:
        return Ruling(Verdict.UNCHANGED, f"equal in all {len(pairs)} pairs")
    why = f"differs in {len(differ)} of {len(pairs)} pairs"
    one_way = len({difference > 0 for difference in differ}) == 1
    if one_way and (len(differ) > 1 or len(pairs) == 1):
        return Ruling(directed(metric, differ[0]), why)
    return Ruling(Verdict.INCONCLUSIVE, f"{why}, which may be chance")


def bytes_held(metric: Metric, pairs: Sequence[tuple[float, float]]) -> Ruling:
    """Judge peaks of memory: a change of more than margin and grain counts where it is no single run's.

    Either the ranges of both sides do not touch, or at least five pairs, and four of five of them, moved the same way
    by that much: one run that differs from all others hides nothing.
    """
    assert metric.margin is not None, "the caller asks is_judged"
    olds, news = zip(*pairs, strict=True)
    before, after = median(olds), median(news)
    least = max(metric.margin * before, metric.grain)
    change = _relative(pairs)
    if abs(after - before) <= least:
        return Ruling(Verdict.UNCHANGED, f"within {metric.margin:.1%} or {metric.grain / 2**20:.0f} MiB", change)
    verdict, size = directed(metric, after - before), f"medians are more than {least / 2**20:.1f} MiB apart"
    if len(pairs) > 1 and (min(news) > max(olds) or max(news) < min(olds)):
        return Ruling(verdict, f"ranges of {len(pairs)} runs a side do not touch, and {size}", change)
    moved = sum((new - old > least) if after > before else (old - new > least) for old, new in pairs)
    if len(pairs) >= MANY and moved >= MOST_OF * len(pairs):
        return Ruling(verdict, f"{moved} of {len(pairs)} pairs moved the same way, and {size}", change)
    why = "the sides' ranges overlap" if len(pairs) > 1 else "a single run on a side"
    return Ruling(Verdict.INCONCLUSIVE, why, change)


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
    return Ruling(Verdict.INCONCLUSIVE, why, change)


def same_weights(metric: Metric, old: str, new: str, cases: int = 1) -> Ruling:
    """Judge answers that the same weights gave under two stacks, item by item: McNemar's exact test (1947).

    `old` and `new` hold a 0 or 1 for every item, in one order; p is adjusted for how many `cases` are judged so.
    Not for models trained anew: their items differ by more than chance among items.
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
    p = min(1.0, float(test.pvalue) * cases)
    found = test.proportion_ci(0.95, "exact")
    low, high = ((2 * side - 1) * (gained + lost) / n for side in (found.low, found.high))
    how = f"95 % exact interval over {gained + lost} of {n} items that were answered otherwise"
    change = Estimate(difference, low, high, n, how)
    why = f"{gained} items gained and {lost} lost of {n}, McNemar p = {p:.3g}"
    if p < MCNEMAR and abs(difference) >= metric.margin:
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
