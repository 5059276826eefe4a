"""Estimates agree with hand-worked values and never claim more than their observations allow."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.analysis import stats

positive = st.floats(min_value=1e-3, max_value=1e6, allow_nan=False)
repeats = st.lists(positive, min_size=2, max_size=6)
bits = st.text("01", min_size=20, max_size=20)


def test_wilson_by_hand() -> None:
    """Eight of ten right gives 49.0 % to 94.3 %, the published value of Wilson's interval."""
    found = stats.wilson(8, 10)
    assert found is not None
    assert (round(found.low or 0, 4), round(found.high or 0, 4)) == (0.4902, 0.9433)


def test_wilson_of_nothing_and_of_nonsense() -> None:
    """No items give no estimate; more right answers than items are refused."""
    assert stats.wilson(0, 0) is None
    with pytest.raises(ValueError, match="11 right answers of 10"):
        stats.wilson(11, 10)


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_stays_within_bounds_and_holds_its_share(n: int, share: float) -> None:
    """Wilson's interval lies in [0, 1], contains the observed share, and is never of no width."""
    right = round(n * share)
    found = stats.wilson(right, n)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= right / n <= found.high <= 1
    assert found.high - found.low > 0


def test_mean_interval_by_hand() -> None:
    """1, 2, 3: mean 2 and half-width 4.3027 / sqrt(3), Student's t with two degrees of freedom."""
    found = stats.mean([1.0, 2.0, 3.0])
    assert found is not None
    assert found.value == 2
    assert found.high == pytest.approx(2 + 4.302652729911275 / math.sqrt(3))


def test_ratio_by_hand() -> None:
    """Equal variances and sizes reduce Welch's interval to Student's with 2n - 2 degrees of freedom."""
    top, bottom = [math.exp(x) for x in (1.0, 1.1, 1.2)], [math.exp(x) for x in (0.0, 0.1, 0.2)]
    found = stats.ratio(top, bottom)
    assert found is not None
    half = 2.7764451051977987 * math.sqrt(2 * 0.01 / 3)
    assert (found.value, found.high) == (pytest.approx(math.e), pytest.approx(math.exp(1 + half)))


@pytest.mark.parametrize("estimate", [stats.mean([3.0]), stats.geometric_mean([3.0]), stats.median([3.0])])
def test_one_repeat_has_no_interval(estimate: stats.Estimate) -> None:
    """A single repeat gives its value, no interval, and says so."""
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (3.0, None, None, 1)
    assert "no interval" in estimate.how


@pytest.mark.parametrize(("top", "bottom"), [([1.0], [2.0, 3.0]), ([1.0, 2.0], [3.0]), ([1.0], [2.0])])
def test_a_ratio_needs_two_repeats_a_side(top: list[float], bottom: list[float]) -> None:
    """With one repeat on either side a ratio has no interval."""
    found = stats.ratio(top, bottom)
    assert found is not None
    assert found.low is None
    assert found.high is None


@given(top=repeats, bottom=repeats, factor=st.floats(1e-2, 1e2))
def test_ratio_scales_and_inverts(top: list[float], bottom: list[float], factor: float) -> None:
    """Scaling one side scales ratio and interval alike; swapping sides inverts them."""
    found, scaled = stats.ratio(top, bottom), stats.ratio([factor * x for x in top], bottom)
    inverse = stats.ratio(bottom, top)
    assert found is not None
    assert scaled is not None
    assert inverse is not None
    assert scaled.value == pytest.approx(factor * found.value, rel=1e-6)
    assert inverse.value == pytest.approx(1 / found.value, rel=1e-6)
    assume(found.low is not None and found.low > 1e-100 and (found.high or 0) < 1e100)
    assert (scaled.low or 0) == pytest.approx(factor * (found.low or 0), rel=1e-3)
    assert (inverse.high or 0) == pytest.approx(1 / (found.low or 1), rel=1e-3)
    assert (found.low or 0) <= found.value * (1 + 1e-9)


@given(values=repeats)
def test_geometric_mean_lies_between_its_values(values: list[float]) -> None:
    """A geometric mean is never outside the range of what was seen, and its interval holds it."""
    found = stats.geometric_mean(values)
    assert found is not None
    assert min(values) * (1 - 1e-9) <= found.value <= max(values) * (1 + 1e-9)
    assert found.low is not None
    assert found.low <= found.value * (1 + 1e-9)


@pytest.mark.parametrize("values", [[0.0, 1.0], [-1.0, 1.0]])
def test_what_has_no_logarithm_is_refused(values: list[float]) -> None:
    """Zero and negative values raise instead of vanishing."""
    with pytest.raises(ValueError, match="logarithm"):
        stats.geometric_mean(values)
    with pytest.raises(ValueError, match="logarithm"):
        stats.ratio(values, [1.0, 2.0])


def test_accuracy_counts_items_not_runs_times_items() -> None:
    """Three runs over the same 100 items get the interval of 100 items, not of 300."""
    one, three = stats.accuracy(["1" * 80 + "0" * 20]), stats.accuracy(["1" * 80 + "0" * 20] * 3)
    assert one is not None
    assert three is not None
    assert (three.low, three.high) == (pytest.approx(one.low), pytest.approx(one.high))
    assert "does not cover the seed" in three.how


def test_accuracy_of_different_test_sets_has_no_interval() -> None:
    """Runs over different numbers of items are averaged without an interval."""
    found = stats.accuracy(["10", "1011"])
    assert found is not None
    assert found.low is None


@given(top=st.lists(bits, min_size=1, max_size=3), bottom=st.lists(bits, min_size=1, max_size=3))
def test_accuracy_ratio_holds_its_value_and_repeats_itself(top: list[str], bottom: list[str]) -> None:
    """The bootstrap gives the same interval each time, and its interval contains the ratio."""
    first, second = stats.accuracy_ratio(top, bottom), stats.accuracy_ratio(top, bottom)
    assert first == second
    if not any("1" in b for b in bottom):
        assert first is None
    elif first is not None and first.low is not None and first.high is not None:
        assert first.low <= first.value <= first.high


def test_accuracy_ratio_pairs_items() -> None:
    """Sides that differ in one item of 200 get a narrow interval, because the items are the same."""
    bottom = "1" * 160 + "0" * 40
    found = stats.accuracy_ratio(["1" * 159 + "0" * 41], [bottom])
    assert found is not None
    assert found.value == pytest.approx(159 / 160)
    assert found.low is not None
    assert 0.97 < found.low <= found.value <= (found.high or 0) <= 1


def test_accuracy_ratio_claims_nothing_where_nothing_differs() -> None:
    """Equal answers on every item give a ratio of 1 without an interval; nothing right gives no ratio."""
    same = stats.accuracy_ratio(["1101"], ["1101"])
    assert same is not None
    assert (same.value, same.low) == (1.0, None)
    assert stats.accuracy_ratio(["1101"], ["0000"]) is None
