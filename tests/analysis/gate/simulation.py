"""Made-up comparisons, to count how often the gate is wrong. All of it is seeded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.analysis.gate import stages
from bench.analysis.gate.significance import holm, moderated_t, summary

Noise = Literal["normal", "t3", "outliers"]
Order = Literal["turns", "blocks"]
SPREAD_OF_SPREADS = 0.4
"""Standard deviation of the logarithms of the cases' own noise: cases are not alike."""


@dataclass(frozen=True)
class Outcome:
    """Shares of families (of 1) with any false claim, and with a pooled one; power over affected cases."""

    any_false: float
    pooled: float
    power: float


def simulate(
    families: int,
    cases: int,
    cv: float,
    *,
    noise: Noise = "normal",
    effect: float = 0.0,
    margin: float = 0.02,
    pairs: int = 5,
    drift: float = 0.0,
    order: Order = "turns",
    seed: int = 1,
) -> Outcome:
    """Run the two stages on `families` comparisons.

    `cv` is one run's coefficient of variation, `effect` what a sixth of the cases really changed by, `drift` the
    standard deviation of what the machine moves by over a stage.
    """
    rng = np.random.default_rng(seed)
    own = cv * np.exp(SPREAD_OF_SPREADS * rng.standard_normal((families, cases, 1)) - SPREAD_OF_SPREADS**2 / 2)
    drifts = drift * rng.standard_normal((families, 1, 1))  # over one stage, a straight line
    changed = np.arange(cases) < (cases // 6 if effect else 0)

    def stage():
        shape = (families, cases, pairs)
        old, new = own * _noise(rng, shape, noise), own * _noise(rng, shape, noise)
        return new - old + drifts * _apart(pairs, cases, order) + np.where(changed, math.log1p(effect), 0.0)[:, None]

    screen = summary(stage())
    prior = stages.family(screen)
    looks = stages.screened(screen, prior, math.log1p(margin))
    confirm = summary(stage())
    p = holm(np.where(looks, moderated_t(confirm, prior).p, np.nan))
    claims = looks & stages.confirmed(screen, confirm, p, math.log1p(margin / 2))
    together, _, counts = stages.pooled(screen.mean, math.log1p(margin / 2))
    return Outcome(
        float((claims & ~changed).any(axis=-1).mean()),
        float(((together < stages.CONFIRM) & counts).mean()),
        float(claims[:, changed].mean()) if effect else math.nan,
    )


def _apart(pairs: int, cases: int, order: Order):
    """How far new is behind old in time, as a share of the stage, for every case and pair."""
    if order == "blocks":
        return np.full((cases, pairs), 0.5)
    one_run = 1 / (2 * pairs * cases)
    signs = np.array([[(1 if (pair + case // 2) % 2 else -1) for pair in range(pairs)] for case in range(cases)])
    return signs * one_run


def _noise(rng, shape, kind: Noise):
    if kind == "t3":
        return rng.standard_t(3, size=shape) / math.sqrt(3)
    drawn = rng.standard_normal(shape)
    gross = 10 * np.abs(rng.standard_normal(shape)) * (rng.random(shape) < 0.03)
    return drawn + gross if kind == "outliers" else drawn
