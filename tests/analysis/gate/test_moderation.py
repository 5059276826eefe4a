"""Variances of few repeats are steadied exactly as limma does it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.gate.moderation import inverse_trigamma, moderated, prior_of

# made with limma 3.54.1 (Bioconductor 3.16) under R 4.2: squeezeVar(var, df)
SPREAD = [0.00012, 0.00031, 0.00007, 0.00055, 0.00021, 0.0016, 0.00009, 0.00042, 0.0011, 0.00017, 0.00005, 0.00029]
SPREAD_POST = [
    0.0001972635906477405, 0.00028229032870382629, 0.00017488813326456003, 0.00038969252414309256,
    0.00023753941393746532, 0.00085957712918988268, 0.00018383831621783222, 0.00033151633494682339,
    0.00063582255535807786, 0.000219639048030921, 0.00016593795031128784, 0.0002733401457505541,
]  # fmt: skip
ALIKE = [0.00020, 0.00021, 0.00019, 0.00022, 0.00018, 0.00020, 0.00021, 0.00019]
FEW = [0.0001, 0.0009, 0.004]
FEW_POST = [0.00038272489013706711, 0.00079484701127642413, 0.0023918202306914328]
LIMMA = {
    "spread": (SPREAD, 4, 4.9383647706052729, 0.00025984591839123814, SPREAD_POST),
    "alike": (ALIKE, 4, np.inf, 0.0002, [0.0002] * 8),
    "few": (FEW, 2, 1.8823443778669862, 0.00068312145248921447, FEW_POST),
}


@pytest.mark.parametrize("name", LIMMA)
def test_it_is_limma(name):
    """Prior and posterior variances are limma's to six digits, also where cases are no more unlike than by chance."""
    variances, each, freedom, variance, post = LIMMA[name]
    given_freedom = np.full(len(variances), float(each))
    prior = prior_of(np.array(variances), given_freedom, floor=0.0)
    found, total = moderated(np.array(variances), given_freedom, prior, cap=np.inf)
    assert prior.freedom.item() == pytest.approx(freedom, rel=1e-6)
    assert prior.variance.item() == pytest.approx(variance, rel=1e-6)
    assert found.tolist() == pytest.approx(post, rel=1e-6)
    assert total.tolist() == pytest.approx([min(each + freedom, each * len(variances))] * len(variances))


def test_trigamma_is_inverted():
    """trigammaInverse of limma, from nearly flat to nearly vertical."""
    values = np.array([0.01, 0.1, 0.5, 1, 3, 20])
    wanted = [100.49916668194319, 10.491681821078421, 2.4599529483523073, 1.4262551202150788, 0.67547810528137009,
              0.23077632915242632]  # fmt: skip
    assert inverse_trigamma(values).tolist() == pytest.approx(wanted, rel=1e-9)


@given(st.lists(st.floats(1e-8, 1.0), min_size=3, max_size=40), st.integers(1, 30))
def test_a_variance_moves_towards_the_others(variances, each):
    """A moderated variance lies between its own and the common one, and counts for no less than its own freedom."""
    own, freedom = np.array(variances), np.full(len(variances), float(each))
    prior = prior_of(own, freedom)
    found, total = moderated(own, freedom, prior)
    low, high = np.minimum(own, prior.variance), np.maximum(own, prior.variance)
    assert np.all(found >= low * (1 - 1e-9))
    assert np.all(found <= high * (1 + 1e-9))
    assert np.all(total >= freedom)
    assert np.all(total <= freedom + 10)


def test_two_cases_say_nothing_of_each_other():
    """With fewer than three cases every variance stays its own."""
    own, freedom = np.array([1e-4, 9e-4]), np.array([4.0, 4.0])
    found, total = moderated(own, freedom, prior_of(own, freedom))
    assert found.tolist() == pytest.approx(own.tolist())
    assert total.tolist() == [4.0, 4.0]


def test_families_do_not_see_each_other():
    """What one family holds changes nothing in another that is computed beside it."""
    one, other = np.array(SPREAD), np.array(SPREAD) * 50
    freedom = np.full((2, 12), 4.0)
    both = prior_of(np.stack([one, other]), freedom)
    alone = prior_of(one, freedom[0])
    assert both.variance[0].item() == pytest.approx(alone.variance.item())
    assert both.freedom[0].item() == pytest.approx(alone.freedom.item())
