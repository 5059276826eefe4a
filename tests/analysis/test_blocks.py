"""Two things in turns: what drifts weighs on both alike, and an interval is claimed only of enough blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.blocks import FEWEST_BLOCKS, difference, estimate, in_blocks, is_first, ratio, side

TURNS = st.lists(st.tuples(*[st.floats(0.125, 8, width=16)] * 4), min_size=1, max_size=8)


def test_only_whole_blocks_count():
    """A turn without a number takes its block with it, and what is left over at the end counts for nothing."""
    assert in_blocks([1, 2, 3, 4, 5, None, 7, 8, 9, 10]) == [(1, 2, 3, 4)]


def test_a_steady_drift_is_no_difference():
    """Where every turn is slower than the last by the same amount, neither thing is slower."""
    assert difference(in_blocks([float(turn) for turn in range(8)])) == 0


def test_a_slow_spell_changes_no_ratio():
    """Where half of the blocks are ten times slower, and off by a tenth each way, the ratio is what it was."""
    quiet = (1.2, 1.0, 1.0, 1.2)

    assert ratio([quiet, quiet, (13.0, 10.0, 10.0, 13.0), (11.0, 10.0, 10.0, 11.0)]) == pytest.approx(1.2)


@given(TURNS, st.floats(0.5, 2, width=16))
def test_a_factor_is_found_whatever_the_noise(blocks, factor):
    """Where the first thing takes a factor of the second, that is their ratio, and the difference has its sign."""
    noisy = [(factor * b, b, c, factor * c) for _, b, c, _ in blocks]

    assert ratio(noisy) == pytest.approx(factor)
    assert (difference(noisy) > 0) == (factor > 1)
    assert len(side(noisy, first=True)) == 2 * len(blocks)


@given(TURNS)
def test_an_interval_holds_its_value_and_needs_enough_blocks(blocks):
    """Below the fewest blocks there is no interval; from there on the value lies within it."""
    found = estimate([blocks], ratio, "one, other, other, one")

    assert found.n == len(blocks)
    assert found.value == ratio(blocks)
    if len(blocks) < FEWEST_BLOCKS:
        assert (found.low, found.high) == (None, None)
    else:
        assert found.low <= found.value <= found.high


def test_the_first_thing_has_the_ends_of_a_block():
    """Eight turns alternate so that both things have the same mean place."""
    assert [is_first(turn) for turn in range(8)] == [True, False, False, True] * 2
