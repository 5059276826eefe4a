"""Screen all cases, then confirm with fresh pairs what looks changed: only the second stage carries the error rate.

One stage with few pairs either misses a change of 5 % or cries wolf: see docs/comparisons.md for
how often each happens, and `tox -e gate-selftest`, which simulates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.gate.moderation import Prior, prior_of
from bench.analysis.gate.significance import Summary, moderated_t

if TYPE_CHECKING:
    import numpy as np

    from bench.analysis.gate.moderation import Array

    Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

SCREEN = 0.05
"""p below which a case is looked at again; generous, since nothing is claimed of it."""

CONFIRM = 0.01
"""Chance of claiming any change at all where there is none, over all cases that were confirmed (Holm)."""

FEWEST_POOLED = 6
"""Cases from which on their mean is tested as one; below, an exact sign test cannot reach 1 %."""


def family(found: Summary) -> Prior:
    """Fit what cases have in common, from the screen."""
    return prior_of(found.variance, found.count - 1)


def screened(found: Summary, prior: Prior, margin: float) -> Flags:
    """Tell of every case whether it looks changed: p < 0.05 and a mean of at least the margin."""
    import numpy as np

    flags: Flags = (moderated_t(found, prior).p < SCREEN) & (np.abs(found.mean) >= margin)
    return flags


def confirmed(screen: Summary, confirm: Summary, p_adjusted: Array, half_margin: float) -> Flags:
    """Tell of every case whether fresh pairs bear the screen out: p after Holm, the same sign, half the margin."""
    import numpy as np

    same_sign = np.sign(screen.mean) == np.sign(confirm.mean)
    flags: Flags = (p_adjusted < CONFIRM) & same_sign & (np.abs(confirm.mean) >= half_margin)
    return flags


def pooled(means: Array, half_margin: float) -> tuple[Array, Array, Flags]:
    """Test the cases' means as one sample: p of Student's t, p of an exact sign test, and whether the shift counts.

    A small shift that all cases share shows here alone. `means` has shape (..., cases), at least six of them. The
    flag asks for the size only, half a margin; significance is for the caller, who knows how many metrics there are.
    """
    import numpy as np
    from scipy.stats import binom
    from scipy.stats import t as student

    cases = means.shape[-1]
    middle = means.mean(axis=-1)
    error = means.std(axis=-1, ddof=1) / np.sqrt(cases)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, np.abs(middle) / error, np.where(middle == 0, 0.0, np.inf))
    p = 2 * student.sf(ratio, cases - 1)
    up, down = (means > 0).sum(axis=-1), (means < 0).sum(axis=-1)
    sign = np.minimum(2 * binom.cdf(np.minimum(up, down), up + down, 0.5), 1)
    return p, sign, np.abs(middle) >= half_margin
