"""What the runs of a case amount to: every metric with its interval, and what the interval covers."""

from __future__ import annotations

from bench.analysis.cases import Case, estimate
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics import METRICS


def estimates(case: Case) -> Table:
    """One row a metric that at least one good run holds, or that was asked for and has a reason."""
    asked = {name for run in case.runs for name in run.record.absent}
    rows = []
    for name, metric in METRICS.items():
        if name in asked or estimate(case, name) is not None:
            cell = estimated(case, name)
            how = cell.how or cell.reason
            rows.append({"metric": Cell(metric.label, metric=name), "value": cell, "how": Cell(how)})
    columns = (Column("metric", "metric"), Column("value", "value"), Column("how", "what the interval covers"))
    return Table("Over the runs that went well", columns, tuple(rows))
