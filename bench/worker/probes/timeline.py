"""A step's memory over time, by category, in few instants. No torch."""

from __future__ import annotations

from itertools import accumulate

from bench.schema.metrics.memory import CATEGORIES
from bench.worker.probes.attribution import Attribution, totals

MOST = 160


def timeline(attribution: Attribution, most: int = MOST) -> dict[str, list[float]]:
    """Return `timeline.seconds` and `timeline.<category>` (bytes) of every category that is ever not zero.

    The step is cut into `most` equal stretches of time; each gives its highest instant, so
    the peak is there. An instant holds until the next one; stretches in which nothing
    changes share one. Seconds count from the step's first change, as the allocator was
    called: on a GPU the work itself comes later.
    """
    shifts = attribution.shifts
    times = list(accumulate((shift.time_ns for shift in shifts), max))  # clocks of threads may disagree
    chosen = _highest(times, totals(attribution.start, shifts), most)
    series: dict[str, list[float]] = {"timeline.seconds": [passed / 1e9 for passed, _ in chosen]}
    for category in CATEGORIES:
        levels = _levels(attribution, category)
        if any(levels):
            series[f"timeline.{category}"] = [levels[done] for _, done in chosen]
    return series


def _highest(times: list[int], levels: list[int], most: int) -> list[tuple[int, int]]:
    """Choose an instant a stretch: ns since the first change, and how many changes had happened."""
    chosen = [(0, 0)]
    span = times[-1] - times[0] + 1 if times else 1
    stretch = 0
    for done, time in enumerate(times, start=1):
        passed = time - times[0]
        here = passed * most // span
        for begun in sorted({stretch + 1, here} if here > stretch else ()):
            chosen.append((-(-begun * span // most), done - 1))  # what is alive as a stretch begins
        stretch = here
        if levels[done] > levels[chosen[-1][1]]:
            chosen[-1] = (passed, done)
    return chosen


def _levels(attribution: Attribution, category: str) -> list[int]:
    """Return the bytes of `category` at the start and after every change."""
    changes = (shift.size * (shift.category == category) for shift in attribution.shifts)
    return list(accumulate(changes, initial=attribution.start.get(category, 0)))
