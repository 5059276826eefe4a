"""A comparison as one table, and in a few lines."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.gate.comparison import Comparison
from bench.analysis.gate.verdicts import ALL_CASES, STATE, Exit, Finding, Verdict
from bench.analysis.stats import Estimate
from bench.report.display import DIFFERENCE, POINTS, unit_of
from bench.report.tables import Cell, Column, Table
from bench.schema.metrics import METRICS

COLUMNS = (
    Column("verdict", "verdict"), Column("case", "case"), Column("metric", "metric"), Column("old", "old"),
    Column("new", "new"), Column("change", "change", "new against old, with its interval where pairs allow one"),
    Column("pairs", "pairs"), Column("why", "why"), Column("device", "device", detail=True),
)  # fmt: skip
ENDINGS = {
    Exit.GOOD: "nothing is worse",
    Exit.WORSE: "something is worse",
    Exit.INVALID: "files could not be read, so what was compared is not known",
    Exit.LOST: "not everything could be compared",
    Exit.NOTHING: "nothing was compared",
    Exit.UNKNOWN: "something stayed inconclusive, and --strict was asked for",
}
URGENCY = (
    Verdict.BROKEN, Verdict.REGRESSED, Verdict.CHANGED, Verdict.MISSING, Verdict.INCOMPARABLE, Verdict.INCONCLUSIVE,
    Verdict.FIXED, Verdict.IMPROVED, Verdict.NEW, Verdict.UNCHANGED,
)  # fmt: skip
"""Verdicts in the order in which people want to read them."""


def table(comparison: Comparison, *, unchanged: bool = False) -> Table:
    """Return findings as rows, the urgent first; those that are `unchanged` only on request."""
    shown = [one for one in comparison.findings if unchanged or one.verdict is not Verdict.UNCHANGED]
    shown.sort(key=lambda one: URGENCY.index(one.verdict))
    hidden = len(comparison.findings) - len(shown)
    notes = (f"{hidden} unchanged and not shown; --all shows them.",) if hidden else ()
    title = f"{comparison.old.name} against {comparison.new.name}"
    return Table(title, COLUMNS, tuple(map(_row, shown)), notes)


def lines(comparison: Comparison) -> Iterator[str]:
    """Say what differs between the sides, how many findings there are of each kind, and how it ends."""
    for name, (old, new) in comparison.differences().items():
        yield f"{name}: {old} against {new}"
    for side in (comparison.old, comparison.new):
        yield from (f"cannot read {file.path}: {file.reason}" for file in side.unreadable)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in comparison.counts().items())
    yield f"{len(comparison.findings)} findings: {counts}" if counts else "no case is on either side"
    yield ENDINGS[comparison.ending]


def _row(found: Finding) -> dict[str, Cell]:
    needed = (
        f"; about {found.needed} pairs would tell" if found.needed and found.verdict is Verdict.INCONCLUSIVE else ""
    )
    known = " (acknowledged)" if found.acknowledged else ""
    return {
        "verdict": Cell(f"{found.verdict}{known}"),
        "case": Cell(found.case),
        "metric": Cell(found.metric),
        "old": _number(found, found.old, found.old_runs),
        "new": _number(found, found.new, found.new_runs),
        "change": _change(found),
        "pairs": Cell(found.pairs or "", unit="count"),
        "why": Cell(f"{found.why}{needed}"),
        "device": Cell(found.device),
    }


def _number(found: Finding, number: float | None, runs: tuple[str, ...]) -> Cell:
    if number is None:
        return Cell("")
    unit = unit_of(found.metric, METRICS[found.metric].unit)
    return Cell(number, unit, kind="measured", metric=found.metric, runs=runs)


def _change(found: Finding) -> Cell:
    change: Estimate | None = found.change
    if change is None or found.metric == STATE:
        return Cell("")
    unit = DIFFERENCE if found.relative else POINTS
    kept = {"kind": "derived", "metric": found.metric, "runs": found.new_runs, "against": found.old_runs}
    return Cell(change.value, unit, change.low, change.high, change.n, change.how, **kept)  # type: ignore[arg-type]


def is_of_all(found: Finding) -> bool:
    """Tell whether a finding is about all cases together."""
    return found.case == ALL_CASES
