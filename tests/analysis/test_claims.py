"""A verdict says no more than the evidence does: what lies open decides nothing, and disagreement is partly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.claims import Verdict, lies, verdict

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([], Verdict.UNTESTED),
        ([None, None], Verdict.UNTESTED),
        ([True, None], Verdict.SUPPORTED),
        ([False, None, False], Verdict.CONTRADICTED),
        ([True, False, None], Verdict.PARTLY),
    ],
)
def test_evidence_that_does_not_decide_weighs_nothing(holds: list[bool | None], expected: Verdict) -> None:
    """Only what speaks for or against counts; both together are partly, none at all is untested."""
    assert verdict(holds) is expected


@given(st.lists(NUMBERS, min_size=5, max_size=5).map(sorted))
def test_an_interval_decides_where_it_lies_whole(found: list[float]) -> None:
    """An interval inside a range is in it, one beyond it is not, and one that crosses an end leaves it open."""
    a, b, c, d, e = found
    assert lies(c, b, d, a, e) is True
    if a < b:
        assert lies(d, c, e, a - 1, a) is False
    if b < c < d:
        assert lies(c, b, d, c, e) is None
        assert lies(c, b, d, a, c) is None


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_not_finite_decides_nothing(number: float) -> None:
    """Not a number, and infinity, speak neither for nor against."""
    assert lies(number, None, None, 0, 1) is None
    assert lies(0.5, 0, number, 0, 1) is None
