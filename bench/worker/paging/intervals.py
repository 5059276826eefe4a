"""Sets of time as sorted, disjoint, half-open intervals of whole nanoseconds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Join intervals that overlap or touch; empty and reversed ones hold no time."""
    joined: list[Interval] = []
    for start, end in sorted(one for one in intervals if one[1] > one[0]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def clip(joined: Sequence[Interval], low: int, high: int) -> list[Interval]:
    """Return the part of a union that lies in [low, high)."""
    found: list[Interval] = []
    for start, end in joined[bisect_right(joined, low, key=lambda one: one[1]) :]:
        if start >= high or low >= high:
            break
        found.append((max(start, low), min(end, high)))
    return found


def subtract(joined: Sequence[Interval], removed: Sequence[Interval]) -> list[Interval]:
    """Return the time in the first union that is not in the second."""
    left: list[Interval] = []
    for start, end in joined:
        here = start
        for gone_from, gone_to in clip(removed, start, end):
            if gone_from > here:
                left.append((here, gone_from))
            here = gone_to
        if here < end:
            left.append((here, end))
    return left


def length(joined: Iterable[Interval]) -> int:
    """Return the nanoseconds in a union."""
    return sum(end - start for start, end in joined)
