"""Numbers that others published, each with its source; never beside runs of ours but where a prediction is checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.analysis.cases import Case
from bench.report.headings import heading, headings
from bench.report.summary import run_cell
from bench.report.tables import Cell, Column, Table
from bench.schema import Kind
from bench.schema.metrics import METRICS
from bench.store import Stored

ALWAYS = ("model", "device", "optimizer")
"""What the row of a published number says even where all rows agree."""


def published(cases: Sequence[Case]) -> Table:
    """One row a published number: of what it is, its value, and the source it cites."""
    kept = [case for case in cases if case.kind is Kind.PUBLISHED]
    first = (replace(column, detail=False) if column.key in ALWAYS else column for column in headings(kept))
    columns = (*first, Column("metric", "number"), Column("value", "published"), Column("source", "source"))
    rows = tuple(row for case in kept for run in case.runs for row in _rows(case, run))
    return Table("Published by others", columns, rows)


def _rows(case: Case, run: Stored) -> Iterator[dict[str, Cell]]:
    source = Cell(run.record.citation or "no source given")
    for name in run.record.metrics:
        if name in METRICS:  # a record may know more than we do
            label = Cell(METRICS[name].label, how=METRICS[name].about, metric=name)
            yield {**heading(case), "metric": label, "value": run_cell(run, name), "source": source}
