"""The table of peak memory by phase: a phase's peaks start again when it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.cases import Case, newest
from bench.report.summary import method_cell, work_cell
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics import METRICS

PHASES = ("load", "train", "evaluate", "save")
SORTS = {"peak_allocated": "tensors", "peak_reserved": "reserved", "peak_resident": "process"}


def memory(cases: Sequence[Case]) -> Table:
    """One row a case, one column a phase and sort of memory that any case holds."""
    kept = newest(cases)
    names = [
        (f"{phase}.{sort}", f"{phase}: {words}")
        for phase in PHASES
        for sort, words in SORTS.items()
        if any(case.values(f"{phase}.{sort}") for case in kept)
    ]
    columns = (
        Column("method", "method"), Column("kind", "kind"), Column("work", "batch × length"),
        *(Column(name, label, METRICS[name].about) for name, label in names),
    )  # fmt: skip
    return Table("Peak memory by phase", columns, tuple(_row(case, [name for name, _ in names]) for case in kept))


def _row(case: Case, names: Sequence[str]) -> Mapping[str, Cell]:
    return {
        "method": method_cell(case),
        "kind": Cell(case.kind.value),
        "work": work_cell(case),
        **{name: estimated(case, name) for name in names},
    }
