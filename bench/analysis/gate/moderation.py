"""Variances of few repeats, steadied by what the other cases of a comparison show.

Five pairs say little about their own spread; thirty cases of five pairs say a lot about what
spreads are usual. Empirical Bayes as in limma (Smyth 2004, doi 10.2202/1544-6115.1027): each
variance is pulled towards a common one, by as much as the cases are alike.

Arrays have cases along their last axis; axes before it are families that know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

LEAST_SPREAD = 2e-4
"""Standard deviation below which no difference of logarithms is believed: 0.02 %, a clock's and a scheduler's grain."""

MOST_PRIOR_FREEDOM = 10.0
"""What the other cases may count for at most, in degrees of freedom: cases are never quite alike."""

FEWEST_CASES = 3
"""Cases from which on their variances say anything about each other's."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What the cases of a family have in common: a variance, and the degrees of freedom it counts for (0: nothing).

    `pooled` are the degrees of freedom of all cases together, more than which nothing of them can have.
    """

    variance: Array
    freedom: Array
    pooled: Array


def prior_of(variances: Array, freedom: Array, floor: float = LEAST_SPREAD**2) -> Prior:
    """Fit the scaled F distribution of sample variances by moments of their logarithms (Smyth 2004, section 6.2).

    `variances` and `freedom` are of one shape (..., cases), every freedom above 0; the prior has one element on the
    last axis. With fewer than three cases it counts for nothing.
    """
    import numpy as np
    from scipy.special import digamma, polygamma

    variances = np.maximum(variances, floor)
    cases = variances.shape[-1]
    if cases < FEWEST_CASES:
        nothing = np.zeros((*variances.shape[:-1], 1))
        return Prior(nothing + floor, nothing, nothing + np.inf)
    logs = np.log(variances) - digamma(freedom / 2) + np.log(freedom / 2)
    middle = logs.mean(axis=-1, keepdims=True)
    excess = logs.var(axis=-1, ddof=1, keepdims=True) - polygamma(1, freedom / 2).mean(axis=-1, keepdims=True)
    alike = excess <= 0  # no more spread than chance makes: one variance for all
    prior_freedom = 2 * inverse_trigamma(np.where(alike, 1.0, excess))
    spread = np.exp(middle + digamma(prior_freedom / 2) - np.log(prior_freedom / 2))
    mean = np.average(variances, axis=-1, weights=freedom, keepdims=True)
    count = np.where(alike, np.inf, prior_freedom)
    return Prior(np.where(alike, mean, spread), count, freedom.sum(axis=-1, keepdims=True))


def moderated(variances: Array, freedom: Array, prior: Prior, cap: float = MOST_PRIOR_FREEDOM) -> tuple[Array, Array]:
    """Return variances pulled towards the prior's, and their degrees of freedom (Smyth 2004, equation 7).

    The prior counts for `cap` degrees of freedom at most.
    """
    import numpy as np

    extra = np.minimum(prior.freedom, cap)
    share = np.where(np.isinf(extra), 1.0, extra / (np.where(np.isinf(extra), 0.0, extra) + freedom))
    return share * prior.variance + (1 - share) * variances, np.minimum(freedom + extra, prior.pooled)


def inverse_trigamma(values: Array) -> Array:
    """Solve trigamma(x) = value for x, values above 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix).

    1 / trigamma is convex and nearly linear, so the steps come down on the root from one side.
    """
    import numpy as np
    from scipy.special import polygamma

    found = 0.5 + 1 / values
    for _ in range(50):
        trigamma = polygamma(1, found)
        step = trigamma * (1 - trigamma / values) / polygamma(2, found)
        found = found + step
        if float(np.max(np.abs(step / found))) < 1e-10:
            break
    return found


def array(values: Sequence[float]) -> Array:
    """Make an array of numbers."""
    import numpy as np

    made: Array = np.asarray(values, dtype=float)
    return made
