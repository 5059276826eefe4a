"""Tests, intervals and numbers of pairs are what the textbooks' libraries make of the same data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import multitest, weightstats

from bench.analysis.gate.moderation import Prior, prior_of
from bench.analysis.gate.significance import equivalent, holm, moderated_t, pairs_needed, summary

NOTHING = Prior(np.array([1.0]), np.array([0.0]), np.array([np.inf]))
DIFFERENCES = st.lists(
    st.lists(st.floats(-0.2, 0.2), min_size=4, max_size=4).filter(lambda row: np.std(row) > 1e-3),
    min_size=1, max_size=6,
)  # fmt: skip


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_holm(p):
    """Adjusted p values are statsmodels' to nine digits."""
    wanted = multitest.multipletests(p, method="holm")[1]
    assert holm(np.array(p)).tolist() == pytest.approx(wanted.tolist(), abs=1e-9)


def test_holm_leaves_out_what_was_not_tested():
    """A nan is no test: it stays nan, and costs the others nothing."""
    found = holm(np.array([0.01, np.nan, 0.04, np.nan]))
    assert found.tolist()[::2] == pytest.approx([0.02, 0.04])
    assert np.isnan(found[1])


@given(DIFFERENCES)
def test_without_a_prior_it_is_the_paired_t_test(rows):
    """Where other cases say nothing, p is scipy's of a paired t test."""
    found = moderated_t(summary(np.array(rows)), NOTHING)
    assert found.p.tolist() == pytest.approx([stats.ttest_1samp(row, 0).pvalue for row in rows], abs=1e-9)


@given(DIFFERENCES, st.floats(0.001, 0.3))
def test_equivalence_is_two_one_sided_tests(rows, margin):
    """Called equal exactly where statsmodels' paired TOST has p below 0.05."""
    found = summary(np.array(rows))
    told = equivalent(found, moderated_t(found, NOTHING), margin)
    for row, equal in zip(rows, told, strict=True):
        p = weightstats.ttost_paired(np.array(row), np.zeros(len(row)), -margin, margin)[0]
        if abs(p - 0.05) > 1e-9:
            assert bool(equal) is bool(p < 0.05)


@pytest.mark.parametrize(
    ("cv", "change", "pairs"),
    [(0.01, 0.02, 11), (0.01, 0.03, 6), (0.01, 0.05, 3), (0.02, 0.05, 8), (0.02, 0.1, 3), (0.03, 0.05, 16),
     (0.03, 0.1, 5)],
)  # fmt: skip
def test_pairs_that_would_tell(cv, change, pairs):
    """The number of pairs asked for finds a change with 95 % power; values computed apart from this code."""
    assert pairs_needed(math.sqrt(2) * cv, math.log1p(change), 0.01) == pairs


def test_hopeless_is_said():
    """Where more than two hundred pairs would be needed, no number is named."""
    assert pairs_needed(1.0, 0.01, 0.01) is None


def test_equal_runs_do_not_reach_the_t_test_with_no_spread():
    """Pairs that are all equal are judged with the least spread that is believed, not with none."""
    found = summary(np.zeros((4, 5)))
    test = moderated_t(found, prior_of(found.variance, found.count - 1))
    assert np.all(test.error > 0)
    assert np.all(test.p == 1)
