"""Is a mean difference one, is there none, and how many pairs would tell?

Differences are of pairs: logarithms of new over old for what varies by factors, plain
differences for shares. Arrays have cases along their last axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.gate.moderation import LEAST_SPREAD, MOST_PRIOR_FREEDOM, Prior, moderated

if TYPE_CHECKING:
    from bench.analysis.gate.moderation import Array

EQUIVALENCE = 0.05
"""Error rate of calling two sides equal: two one-sided tests at this level, a 90 % interval."""

POWER = 0.95
"""Chance with which the number of pairs that is asked for finds a change of the margin's size."""

MOST_PAIRS = 200
"""Above this many pairs nobody waits; more is told as that."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Pairs of every case in three numbers: how many, their mean difference, their variance (at least two pairs)."""

    count: Array
    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True)
class Tested:
    """The moderated paired t test of every case: standard error, degrees of freedom, two-sided p."""

    error: Array
    freedom: Array
    p: Array


def summary(differences: Array) -> Summary:
    """Summarise differences of shape (..., cases, pairs)."""
    import numpy as np

    count = np.full(differences.shape[:-1], float(differences.shape[-1]))
    return Summary(count, differences.mean(axis=-1), differences.var(axis=-1, ddof=1))


def moderated_t(found: Summary, prior: Prior) -> Tested:
    """Test every case's mean against 0 with its variance moderated by `prior`."""
    import numpy as np
    from scipy.special import stdtr

    variance, freedom = moderated(np.maximum(found.variance, LEAST_SPREAD**2), found.count - 1, prior)
    error = np.sqrt(variance / found.count)
    return Tested(error, freedom, 2 * stdtr(freedom, -np.abs(found.mean) / error))


def equivalent(found: Summary, test: Tested, margin: float) -> Array:
    """Tell of every case whether its 90 % interval lies within ± `margin` (TOST, Schuirmann 1987)."""
    import numpy as np
    from scipy.special import stdtrit

    half = stdtrit(test.freedom, 1 - EQUIVALENCE) * test.error
    inside: Array = (np.abs(found.mean) + half) < margin
    return inside


def holm(p: Array) -> Array:
    """Adjust p values along the last axis for how many there are (Holm 1979); nan counts as no test and stays."""
    import numpy as np

    given = np.where(np.isnan(p), np.inf, p)
    order = np.argsort(given, axis=-1)
    ranked = np.take_along_axis(given, order, axis=-1)
    tests = np.isfinite(ranked).sum(axis=-1, keepdims=True)
    factors = np.maximum(tests - np.arange(p.shape[-1]), 1)
    raised = np.minimum(np.maximum.accumulate(ranked * factors, axis=-1), 1)
    adjusted = np.empty_like(raised)
    np.put_along_axis(adjusted, order, raised, axis=-1)
    return np.where(np.isnan(p), np.nan, adjusted)


def pairs_needed(spread: float, margin: float, alpha: float, prior_freedom: float = MOST_PRIOR_FREEDOM) -> int | None:
    """Return the pairs with which a change of `margin` is found 95 times of 100; None where more than 200.

    Power of the moderated t test from the noncentral t distribution; `spread` is the standard deviation of a pair's
    difference, `alpha` two-sided.
    """
    from math import sqrt

    from scipy.stats import nct
    from scipy.stats import t as student

    for pairs in range(2, MOST_PAIRS + 1):
        freedom = pairs - 1 + prior_freedom
        if nct.sf(student.ppf(1 - alpha / 2, freedom), freedom, margin * sqrt(pairs) / spread) >= POWER:
            return pairs
    return None
