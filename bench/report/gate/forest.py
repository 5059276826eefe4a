"""Changes of a comparison with their intervals, one below the other, around the line of no change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analysis.gate.verdicts import ALL_CASES, Finding, Verdict
from bench.report.chart import Chart, drawn
from bench.report.gate.verdict_table import URGENCY, change_cell
from bench.report.named_rows import row_layout, row_name
from bench.report.tables import Cell, Column, Table
from bench.schema.metrics import METRICS

MOST = 24
"""Rows that are drawn, the urgent first; tables have all."""
LOOKS = {
    Verdict.REGRESSED: ("#D55E00", "triangle-down"), Verdict.IMPROVED: ("#009E73", "triangle-up"),
    Verdict.UNCHANGED: ("#0072B2", "circle"), Verdict.CHANGED: ("#CC79A7", "diamond"),
    Verdict.INCONCLUSIVE: ("#8A8F98", "circle-open"),
}  # fmt: skip


def forest(name: str, findings: Sequence[Finding]) -> Chart | None:
    """Return the relative changes that have an interval, all cases together first."""
    known = [one for one in findings if one.relative and one.change and one.change.low is not None
             and one.verdict in LOOKS and one.metric in METRICS]  # fmt: skip
    if not known:
        return None
    known.sort(key=lambda one: (one.case != ALL_CASES, URGENCY.index(one.verdict)))
    drawn_ones = known[:MOST]
    traces = [_points(verdict, [one for one in drawn_ones if one.verdict is verdict]) for verdict in LOOKS
              if any(one.verdict is verdict for one in drawn_ones)]  # fmt: skip
    layout = row_layout([_row(one) for one in drawn_ones], "new against old, %")
    columns = (Column("what", "metric and case"), Column("verdict", "verdict"), Column("change", "change"))
    rows = tuple({"what": Cell(_row(one)), "verdict": Cell(one.verdict), "change": change_cell(one)} for one in known)
    worst = known[0]
    counts = ", ".join(f"{sum(one.verdict is verdict for one in known)} {verdict}" for verdict in LOOKS
                       if any(one.verdict is verdict for one in known))  # fmt: skip
    finding = f"{len(known)} changes with an interval: {counts}. First: {_row(worst)}, {change_cell(worst).text}."
    return Chart(f"forest-{name}", finding, drawn(traces, layout), Table("Changes", columns, rows))


def _row(one: Finding) -> str:
    return f"{METRICS[one.metric].label}, {one.title}"


def _points(verdict: Verdict, found: Sequence[Finding]) -> dict[str, Any]:
    colour, symbol = LOOKS[verdict]
    changes = [one.change for one in found if one.change]
    return {
        "type": "scatter", "mode": "markers", "name": verdict.value, "y": [row_name(_row(one)) for one in found],
        "x": [100 * change.value for change in changes], "marker": {"color": colour, "symbol": symbol, "size": 10},
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 1.5,
            "array": [100 * ((change.high or change.value) - change.value) for change in changes],
            "arrayminus": [100 * (change.value - (change.low or change.value)) for change in changes],
        },
        "hovertemplate": "%{y}: %{x:+.3g} %<extra></extra>",
    }  # fmt: skip
