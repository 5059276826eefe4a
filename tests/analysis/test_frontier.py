"""What nothing beats on both axes is kept, and nothing else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.frontier import frontier

POINTS = st.lists(st.tuples(st.integers(0, 20).map(float), st.integers(0, 20).map(float)), max_size=30)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(POINTS)
def test_the_frontier_is_all_that_is_not_beaten(points: list[tuple[float, float]]) -> None:
    """No kept point is beaten by any; each that is left out is beaten, or equals one that is kept."""
    kept = frontier(points)
    assert not any(beats(other, points[place]) for place in kept for other in points)
    for place, point in enumerate(points):
        if place not in kept:
            assert any(beats(other, point) for other in points) or any(points[one] == point for one in kept)


@given(POINTS)
def test_it_rises_from_the_cheapest(points: list[tuple[float, float]]) -> None:
    """Cheapest first, each costs more than the last and gives more."""
    found = [points[place] for place in frontier(points)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(found))
