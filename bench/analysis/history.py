"""One metric of a case over time and versions, and where its level seems to have changed. Advice, never a gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from bench.analysis.cases import Case
from bench.analysis.values import value
from bench.schema.record import STACK
from bench.store import Stored

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

FEWEST = 8
"""Points on each side of a change that is looked for."""
SIGNIFICANT = 0.001
"""p of Welch's t test from which on a change point stands, over all places it could be at (Bonferroni)."""
WEAK = 0.1
"""p up to which a place is a candidate at all."""
CODE = "ftbench.commit"


@dataclass(frozen=True, slots=True)
class Point:
    """One run: when it started, its value in the metric's base unit, and what software it had."""

    run: Stored
    started: str
    value: float
    software: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A level that seems to have changed: the first point of the new one, both means, and what differs in software.

    `p` is adjusted for how many places were looked at.
    """

    at: Point
    before: float
    after: float
    p: float
    differs: tuple[str, ...]


def points(cases: Iterable[Case], metric: str) -> list[Point]:
    """Return the runs that hold a metric, oldest first, over all software of one case on one device."""
    found = [
        Point(run, run.record.started, number, _software(run))
        for case in cases for run in case.answers if (number := value(run.record, metric)) is not None
    ]  # fmt: skip
    return sorted(found, key=lambda point: (point.started, point.run.run))


def changes(found: Sequence[Point]) -> list[Change]:
    """Return the change points, oldest first, of at least eight points on each side.

    Candidates by E-divisive's energy distance (Matteson and James 2014, doi 10.1080/01621459.2013.849605), side by
    side, with Welch's t test instead of permutations and a weak threshold; then the weakest goes until every one that
    is left stands against its neighbouring levels, as Hunter does (Fleming et al. 2023, doi 10.1145/3578244.3583719).
    """
    values = [point.value for point in found]
    kept = _candidates(values, 0)
    while kept:
        bounds = [0, *kept, len(values)]
        p = [
            _p(values[low:at], values[at:high], len(values))
            for low, at, high in zip(bounds, kept, bounds[2:], strict=False)
        ]
        weakest = max(range(len(p)), key=p.__getitem__)
        if p[weakest] < SIGNIFICANT:
            return [_change(found, at, one) for at, one in zip(kept, p, strict=True)]
        del kept[weakest]
    return []


def _candidates(values: Sequence[float], offset: int) -> list[int]:
    """Return the places where levels may change, weakly tested, first to last."""
    import numpy as np

    places = range(FEWEST, len(values) - FEWEST + 1)
    if not places:
        return []
    at = places[int(np.argmax(_divergences(np.asarray(values, dtype=float), places)))]
    if _p(values[:at], values[at:], len(values)) >= WEAK:
        return []
    return [*_candidates(values[:at], offset), offset + at, *_candidates(values[at:], offset + at)]


def _p(left: Sequence[float], right: Sequence[float], places: int) -> float:
    """Return p of Welch's t test, adjusted for how many places there are (Bonferroni)."""
    from scipy.stats import ttest_ind

    if len({*left}) == len({*right}) == 1:  # exact numbers have no spread to test with
        return 0.0 if left[0] != right[0] else 1.0
    return min(1.0, float(ttest_ind(left, right, equal_var=False).pvalue) * places)


def _divergences(numbers: Numbers, places: range) -> list[float]:
    """Return the scaled energy distance between both sides of every place."""
    import numpy as np

    total = np.cumsum(np.cumsum(np.abs(numbers[:, None] - numbers[None, :]), axis=0), axis=1)  # of all left above
    whole, count = float(total[-1, -1]), len(numbers)
    found = []
    for at in places:
        n, m = at, count - at
        left = float(total[at - 1, at - 1])
        across = float(total[at - 1, -1]) - left
        right = whole - left - 2 * across
        apart = 2 * across / (n * m) - left / (n * (n - 1)) - right / (m * (m - 1))
        found.append(n * m / (n + m) * apart)
    return found


def _change(found: Sequence[Point], at: int, p: float) -> Change:
    left, right = found[max(0, at - FEWEST) : at], found[at : at + FEWEST]
    before, after = dict(left[-1].software), dict(right[0].software)
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    differs = tuple(f"{name} {before.get(name)} to {after.get(name)}" for name in names)
    old, new = (fmean(point.value for point in side) for side in (left, right))
    return Change(found[at], old, new, p, differs)


def _software(run: Stored) -> tuple[tuple[str, str], ...]:
    facts = run.record.environment
    named = {name: str(facts[f"package.{name}"]) for name in STACK if f"package.{name}" in facts}
    commit = {"ftbench": str(facts[CODE])[:10]} if CODE in facts else {}
    return tuple({**named, **commit}.items())
