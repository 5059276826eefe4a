"""A comparison as one table, and in a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.gate.comparison import Comparison
from bench.analysis.gate.verdicts import STATE, Exit, Finding, Verdict
from bench.analysis.stats import Estimate
from bench.report.display import DIFFERENCE, POINTS, unit_of
from bench.report.tables import Cell, Column, Table
from bench.schema.metrics import METRICS

COLUMNS = (
    Column("verdict", "verdict"), Column("case", "case"), Column("metric", "metric"), Column("old", "old"),
    Column("new", "new"), Column("change", "change", "new against old, with its interval where pairs allow one"),
    Column("pairs", "pairs"), Column("needed", "would tell", "pairs with which a change of the margin's size is found"),
    Column("why", "why"), Column("device", "device", detail=True),
)  # fmt: skip
ENDINGS = {
    Exit.GOOD: "nothing is worse",
    Exit.WORSE: "something is worse",
    Exit.INVALID: "files could not be read, so what was compared is not known",
    Exit.LOST: "not everything could be compared",
    Exit.NOTHING: "nothing was compared",
    Exit.UNKNOWN: "not enough became known",
}
URGENCY = (
    Verdict.BROKEN, Verdict.REGRESSED, Verdict.CHANGED, Verdict.MISSING, Verdict.INCOMPARABLE, Verdict.INCONCLUSIVE,
    Verdict.FIXED, Verdict.IMPROVED, Verdict.NEW, Verdict.UNCHANGED,
)  # fmt: skip
"""Verdicts in the order in which people want to read them."""

MOST_FILES = 5
"""Files named that cannot be read; more are counted."""


def table(comparison: Comparison, *, unchanged: bool = False) -> Table:
    """Return findings as rows, the urgent first; those that are `unchanged` only on request."""
    return findings_table(
        f"{comparison.old.name} against {comparison.new.name}", comparison.findings, unchanged=unchanged
    )


def findings_table(title: str, findings: Sequence[Finding], *, unchanged: bool = False) -> Table:
    """Return some findings as rows, the urgent first; those that are `unchanged` only on request."""
    shown = [one for one in findings if unchanged or one.verdict is not Verdict.UNCHANGED]
    shown.sort(key=lambda one: URGENCY.index(one.verdict))
    hidden = len(findings) - len(shown)
    notes = (f"{hidden} unchanged and not shown; --all shows them.",) if hidden else ()
    return Table(title, COLUMNS, tuple(map(_row, shown)), notes)


def lines(comparison: Comparison) -> Iterator[str]:
    """Say what differs between the sides, how many findings there are of each kind, and how it ends."""
    for name, (old, new) in comparison.differences().items():
        yield f"{name}: {old} against {new}"
    files = {file.path: file for side in (comparison.old, comparison.new) for file in side.unreadable}
    yield from (f"cannot read {file.path}: {file.reason}" for file in list(files.values())[:MOST_FILES])
    if len(files) > MOST_FILES:
        yield f"and {len(files) - MOST_FILES} more that cannot be read"
    if count := comparison.not_compared():
        yield f"{count} records were predicted, published or made up, and are not compared"
    yield from (f"acknowledged, and not found: {name}" for name in comparison.unmatched)
    counts = comparison.counts()
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    yield f"{len(comparison.findings)} findings: {said}" if counts else "no case is on either side"
    unknown = counts.get(Verdict.INCONCLUSIVE, 0)
    yield ENDINGS[comparison.ending] + (f", {unknown} not known yet" if unknown else "")


def _row(found: Finding) -> dict[str, Cell]:
    known = " (acknowledged)" if found.acknowledged else ""
    return {
        "verdict": Cell(f"{found.verdict}{known}"),
        "case": Cell(found.title),
        "metric": Cell(found.metric),
        "old": _number(found, found.old, found.old_runs),
        "new": _number(found, found.new, found.new_runs),
        "change": change_cell(found),
        "pairs": Cell(found.pairs or "", unit="count"),
        "needed": Cell(f"{found.needed} pairs" if found.needed else ""),
        "why": Cell(found.why),
        "device": Cell(found.device),
    }


def _number(found: Finding, number: float | None, runs: tuple[str, ...]) -> Cell:
    if number is None:
        return Cell("")
    unit = unit_of(found.metric, METRICS[found.metric].unit)
    return Cell(number, unit, kind="measured", metric=found.metric, runs=runs)


def change_cell(found: Finding) -> Cell:
    """Return the change of a finding; nothing where it has none."""
    change: Estimate | None = found.change
    if change is None or found.metric == STATE:
        return Cell("")
    unit = DIFFERENCE if found.relative else POINTS
    kept = {"kind": "derived", "metric": found.metric, "runs": found.new_runs, "against": found.old_runs}
    return Cell(change.value, unit, change.low, change.high, change.n, change.how, **kept)  # type: ignore[arg-type]
