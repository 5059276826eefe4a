"""What nothing else beats on both of two axes."""

from __future__ import annotations

from collections.abc import Sequence


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other has less cost (first) and more gain (second) than, cheapest first.

    Of equal points the first is kept. A point that costs less or gains more than every other stays.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1], place))
    kept: list[int] = []
    for place in order:
        if not kept or points[place][1] > points[kept[-1]][1]:
            kept.append(place)
    return kept
