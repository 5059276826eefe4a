"""A case beside the one it is compared with: differences and ratios as cells, ties as ties."""

from __future__ import annotations

from bench.analysis import stats
from bench.analysis.cases import Case
from bench.analysis.paired import accuracy_difference, verdict
from bench.report.display import POINTS
from bench.report.tables import Cell, case_page, ending, sources

WORDS = {"better": "better", "worse": "worse", "tie": "tie", "unknown": ""}


def accuracy_cell(case: Case, other: Case, items: str = "after") -> Cell:
    """Say by how much a case is more accurate than another on the same items and seeds, in percentage points."""
    found = accuracy_difference(case, other, items)
    if found is None:
        reason = ending(case) or ending(other) or "no training with the same seed was scored on both sides"
        return Cell(None, POINTS, link=case_page(case), reason=reason, brief=ending(case))
    return Cell(
        found.value, POINTS, found.low, found.high, found.n, found.how,
        kind="derived", link=case_page(case), runs=sources(case), against=sources(other),
    )  # fmt: skip


def verdict_cell(case: Case, other: Case, items: str = "after") -> Cell:
    """Say in a word whether a case is more accurate than another: better, worse, tie; empty where nobody knows."""
    return Cell(WORDS[verdict(accuracy_difference(case, other, items))], link=case_page(case))


def ratio_cell(case: Case, other: Case, metric: str) -> Cell:
    """Say how many times another case's number a case's is, with Welch's interval over repeats."""
    tops, bottoms = case.values(metric), other.values(metric)
    if not tops or not bottoms or min(*tops, *bottoms) <= 0:
        reason = case.reason(metric) if not tops else other.reason(metric) if not bottoms else "no ratio to 0"
        return Cell(None, "x", link=case_page(case), reason=reason, brief=ending(case))
    found = stats.ratio(tops, bottoms)
    assert found is not None
    return Cell(
        found.value, "x", found.low, found.high, found.n, found.how,
        kind="derived", link=case_page(case), metric=metric, runs=sources(case), against=sources(other),
    )  # fmt: skip
