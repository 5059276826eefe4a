"""How often the gate is wrong, counted on seeded simulations; `tox -e gate-selftest` counts more of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.analysis.gate.families import Family, Member, judged
from bench.analysis.gate.verdicts import Verdict
from tests.analysis.gate.simulation import simulate


@pytest.mark.parametrize("noise", ["normal", "t3", "outliers"])
def test_equal_sides_are_rarely_told_apart(noise):
    """Of 1,500 comparisons of equal sides at most one in a hundred claims anything."""
    assert simulate(1500, 12, 0.01, noise=noise).any_false <= 0.01


def test_five_percent_are_found():
    """A change of 5 % at 1 % noise is found 95 times of 100, with five pairs and five fresh ones."""
    assert simulate(1500, 12, 0.01, effect=0.05).power >= 0.95


def test_drift_meets_both_sides_alike():
    """A machine that drifts by 3 % fools nobody in turns, and everybody in blocks: so blocks get no verdict."""
    assert simulate(1500, 12, 0.01, drift=0.03).any_false <= 0.015
    assert simulate(1500, 12, 0.01, drift=0.03, order="blocks").any_false > 0.2


def test_a_small_shift_of_all_cases_shows_in_all_of_them_together():
    """Twelve cases that each lose 1.7 points of accuracy, 1.2 points of noise: nine times of ten it is found."""
    rng = np.random.default_rng(3)
    from bench.analysis.gate.stages import CONFIRM, pooled

    p, _, counts = pooled(rng.normal(-0.017, 0.012, (2000, 12)), 0.005)
    assert np.mean((p < CONFIRM) & counts) >= 0.90
    p, _, counts = pooled(rng.normal(0, 0.012, (2000, 12)), 0.005)
    assert np.mean((p < CONFIRM) & counts) <= 0.015


def test_the_simulated_rule_is_the_one_that_judges():
    """Cases judged one by one get the verdicts of the simulation's arrays: those changed by 8 %, no other."""
    rng = np.random.default_rng(7)
    members = [
        Member(*(tuple(rng.normal(math.log1p(effect), 0.01, 5)) for _ in range(2)))
        for effect in (0.08, 0.08, -0.08, *[0.0] * 9)
    ]
    verdicts = [ruling.verdict for ruling in judged([Family("train.step_seconds", members)])[0]]
    assert verdicts[:3] == [Verdict.REGRESSED, Verdict.REGRESSED, Verdict.IMPROVED]
    assert set(verdicts[3:]) <= {Verdict.UNCHANGED, Verdict.INCONCLUSIVE}
