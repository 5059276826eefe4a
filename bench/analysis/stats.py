"""Estimates that never claim more than the number of observations allows.

Every function returns an `Estimate`, or `None` where not even a point exists. An
interval is absent, not narrow, when there are too few observations for one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Shares = np.ndarray[tuple[int, int], np.dtype[np.float64]]

LEVEL = 0.95
DRAWS = 4000
BOOTSTRAP_SEED = 20260101


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with the interval that its `n` observations allow; `how` says what the interval covers."""

    value: float
    low: float | None
    high: float | None
    n: int
    how: str


def median(values: Sequence[float]) -> Estimate | None:
    """Median, with the range of the values; the range is what was seen, not a confidence interval."""
    if not values:
        return None
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, None, 1, "one run; no interval")
    return Estimate(statistics.median(values), min(values), max(values), n, f"median and range of {n} runs")


def wilson(right: float, n: int) -> Estimate | None:
    """Share `right / n` with its 95 % score interval (Wilson 1927, JASA 22:209).

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96. Never leaves [0, 1].
    Raises `ValueError` unless 0 <= right <= n.
    """
    if n == 0:
        return None
    if not 0 <= right <= n:
        raise ValueError(f"{right} right answers of {n} items")
    z = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))
    return Estimate(p, low, high, n, f"95 % Wilson interval over {n} test items")


def accuracy(seeds: Sequence[str]) -> Estimate | None:
    """Mean share of right answers of runs over the same items; one string of 0 and 1 a run.

    Wilson's interval with n the number of *items*: runs answer the same items, so they
    are not further observations of the task. It does not cover the choice of seed.
    """
    answered = [bits for bits in seeds if bits]
    if not answered:
        return None
    share = statistics.fmean(bits.count("1") / len(bits) for bits in answered)
    items = {len(bits) for bits in answered}
    if len(items) > 1:
        return Estimate(share, None, None, len(answered), "runs answered different numbers of items; no interval")
    n = items.pop()
    found = wilson(min(share * n, n), n)
    if found is None:
        return None
    runs = "one run" if len(answered) == 1 else f"mean of {len(answered)} runs"
    how = f"{runs}; 95 % Wilson interval over {n} test items, does not cover the seed"
    return Estimate(share, min(share, found.low or 0.0), found.high, len(answered), how)


def mean(values: Sequence[float]) -> Estimate | None:
    """Mean with Student's 95 % t interval over repeats (Student 1908); no interval for one repeat."""
    if not values:
        return None
    n, middle = len(values), statistics.fmean(values)
    if n == 1:
        return Estimate(middle, None, None, 1, "one run; no interval")
    half = _t(n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(middle, middle - half, middle + half, n, f"mean; 95 % t interval over {n} runs")


def geometric_mean(values: Sequence[float]) -> Estimate | None:
    """Geometric mean with a t interval on logarithms: exp(mean ± t s / sqrt(n)), unit of the values.

    For quantities that vary by factors, such as seconds. No interval for one repeat.
    Raises `ValueError` for a value that is not positive.
    """
    if not values:
        return None
    if min(values) <= 0:
        raise ValueError(f"{min(values)} has no logarithm")
    if len(set(values)) == 1:
        return _all_equal(values)
    logs = mean([math.log(v) for v in values])
    if logs is None or logs.low is None or logs.high is None:
        return None
    how = f"geometric mean; 95 % t interval on logarithms over {logs.n} runs"
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n, how)


def _all_equal(values: Sequence[float]) -> Estimate:
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, None, 1, "one run; no interval")
    return Estimate(values[0], values[0], values[0], n, f"equal in all {n} runs")


def ratio(top: Sequence[float], bottom: Sequence[float], of: str = "runs") -> Estimate | None:
    """Ratio of the geometric means of two independent groups of repeats.

    Welch's t interval on logarithms (Welch 1947, Biometrika 34:28), degrees of freedom
    by Satterthwaite. No interval with fewer than two repeats on a side.
    Raises `ValueError` for a value that is not positive.
    """
    if not top or not bottom:
        return None
    if min(*top, *bottom) <= 0:
        raise ValueError(f"{min(*top, *bottom)} has no logarithm")
    tops, bottoms = [math.log(v) for v in top], [math.log(v) for v in bottom]
    difference = statistics.fmean(tops) - statistics.fmean(bottoms)
    a, b = len(top), len(bottom)
    if a < 2 or b < 2:
        how = f"{a} against {b} {of}; no interval with fewer than two on a side"
        return Estimate(math.exp(difference), None, None, min(a, b), how)
    va, vb = statistics.variance(tops) / a, statistics.variance(bottoms) / b
    how = f"95 % Welch interval on logarithms, {a} against {b} {of}"
    if va + vb == 0:
        same = math.exp(difference)
        return Estimate(same, same, same, min(a, b), f"equal in all {of} of a side")
    half = _t((va + vb) ** 2 / (va**2 / (a - 1) + vb**2 / (b - 1))) * math.sqrt(va + vb)
    return Estimate(math.exp(difference), math.exp(difference - half), math.exp(difference + half), min(a, b), how)


def accuracy_ratio(top: Sequence[str], bottom: Sequence[str]) -> Estimate | None:
    """Ratio of two accuracies over the same test items; one string of 0 and 1 a run.

    Percentile interval of a paired bootstrap (Efron 1979): each draw takes runs of each
    side with replacement, then items, the same items for both sides. Fixed seed, so equal
    input gives equal output. No ratio when `bottom` has nothing right; no interval when the
    sides answered all items alike or when draws with nothing right reach the interval.
    """
    tops, bottoms = [bits for bits in top if bits], [bits for bits in bottom if bits]
    if not tops or not bottoms or not any("1" in bits for bits in bottoms):
        return None
    above = statistics.fmean(b.count("1") / len(b) for b in tops)
    below = statistics.fmean(b.count("1") / len(b) for b in bottoms)
    n = min(len(tops), len(bottoms))
    if len({len(bits) for bits in (*tops, *bottoms)}) > 1:
        return Estimate(above / below, None, None, n, "the sides answered different numbers of items; no interval")
    if len({*tops, *bottoms}) == 1:
        return Estimate(above / below, None, None, n, "all runs answered every item alike; no interval")
    low, high = _bootstrap(tuple(tops), tuple(bottoms))
    covers = "items and seeds" if n > 1 else "items, not the seed"
    how = f"95 % paired bootstrap interval over {covers}: {len(tops[0])} items, {len(tops)} against {len(bottoms)} runs"
    if not math.isfinite(high):
        return Estimate(above / below, None, None, n, "too few right answers on the other side for an interval")
    return Estimate(above / below, min(low, above / below), max(high, above / below), n, how)


@lru_cache(maxsize=1024)  # tables, findings and claims ask the same, and each answer takes tens of milliseconds
def _bootstrap(tops: tuple[str, ...], bottoms: tuple[str, ...]) -> tuple[float, float]:
    import numpy as np

    of_items, *of_runs = draws(len(tops[0]), len(tops), len(bottoms))
    rights = [np.array([[int(bit) for bit in bits] for bits in side], dtype=float) for side in (tops, bottoms)]
    above, below = (((runs @ right) * of_items).sum(axis=1) for runs, right in zip(of_runs, rights, strict=True))
    ratios = np.sort(np.divide(above, below, out=np.full(DRAWS, np.inf), where=below > 0))
    tail = round(DRAWS * (1 - LEVEL) / 2)
    return float(ratios[tail]), float(ratios[-tail - 1])


@lru_cache(maxsize=8)
def draws(*counts: int) -> tuple[Shares, ...]:
    """Draw so many things of as many with replacement, `DRAWS` times, for each count: the share of every thing a draw.

    The seed is fixed, so that equal counts are drawn alike whatever else is computed.
    """
    import numpy as np

    random = np.random.default_rng(BOOTSTRAP_SEED)
    return tuple(random.multinomial(count, np.full(count, 1 / count), size=DRAWS) / count for count in counts)


@lru_cache(maxsize=1024)
def _t(freedom: float) -> float:
    """Two-sided 95 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, freedom))
