"""Time is a set: unions, cuts and differences agree with sets of nanoseconds."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from bench.worker.paging.intervals import clip, length, subtract, union

INTERVALS = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=12)


def moments(intervals):
    return {moment for start, end in intervals for moment in range(start, end)}


@given(INTERVALS)
@example([(0, 5), (5, 9)])
def test_a_union_holds_every_moment_once(intervals):
    """Sorted, apart from each other, not empty, and the same moments as before."""
    joined = union(intervals)

    assert moments(joined) == moments(intervals)
    assert length(joined) == len(moments(intervals))
    assert all(a[1] < b[0] for a, b in itertools.pairwise(joined))
    assert all(start < end for start, end in joined)


@given(INTERVALS, st.integers(0, 120), st.integers(0, 120))
@example([(0, 5)], 4, 9)
@example([(0, 5)], 5, 9)
@example([(4, 9)], 0, 5)
def test_a_clip_is_what_lies_within(intervals, low, high):
    """Exactly the moments of [low, high)."""
    clipped = clip(union(intervals), low, high)

    assert moments(clipped) == {moment for moment in moments(intervals) if low <= moment < high}
    assert length(clipped) == len(moments(clipped))


@given(INTERVALS, INTERVALS)
def test_a_difference_is_what_the_other_has_not(intervals, removed):
    """Exactly the moments of the first that are not in the second."""
    left = subtract(union(intervals), union(removed))

    assert moments(left) == moments(intervals) - moments(removed)
    assert left == union(left)
