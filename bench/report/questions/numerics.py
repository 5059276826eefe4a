"""Which kernels are right: by operation, format, shape, dtype and version of the library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.analysis.cases import Case
from bench.report.asked import Told, table
from bench.report.chart import Chart, drawn, label
from bench.report.kernels import (
    DTYPES,
    RIGHT,
    WRONG,
    held,
    kernels,
    latest,
    library,
    operation,
    settings,
    shape,
    verdict,
    wrong_checks,
)
from bench.report.tables import Cell, Column, Table, case_page, estimated

FIGURES = {"numerics.error": "error", "numerics.allowed": "rounding explains", "numerics.wrong": "checks wrong"}
HEADINGS: Told = {
    "operation": ("operation", lambda case: Cell(operation(case), link=case_page(case))),
    "format": ("format", lambda case: Cell(held(case))),
    "dtype": ("dtype", lambda case: Cell(case.config.dtype)),
    "shape": ("outputs × inputs", lambda case: Cell(shape(case))),
    "settings": ("settings", lambda case: Cell(settings(case))),
    "library": ("library", lambda case: Cell(library(case))),
}
MORE: Told = {
    "verdict": ("verdict", lambda case: Cell(verdict(case))),
    "which": ("wrong", lambda case: Cell(", ".join(wrong_checks(case)))),
}
NOTE = (
    "Wrong: the error is larger than rounding explains, or the numbers are not finite. Unsupported: the library "
    "refuses; its words stand below the next table. Errors are relative to what float64 gives on the same state."
)
DEVICE_NOTE = "Which kernel a library takes depends on the processor too; another device may find others wrong."
LEVELS = {RIGHT: 0.0, WRONG: 1.0}
REFUSED = 0.5
ROW_HEIGHT, AROUND = 20, 220
"""Pixels of a row of the map, and of what is around it."""
COLOURS = [(place / 3, colour) for step, colour in enumerate(("#0072B2", "#999999", "#D55E00"))
           for place in (step, step + 1)]  # fmt: skip


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return how many checks of every operation and format are right, and every check, wrong ones first."""
    found = kernels(cases)
    worst_first = sorted(found, key=lambda case: (WRONG, RIGHT).index(verdict(case)) * 2 if case.answers else 1)
    return [_summary(found), table("Every kernel that was checked", worst_first, HEADINGS, FIGURES, more=MORE)]


def _summary(cases: Sequence[Case]) -> Table:
    """Return a row for every operation and format, on every device, under every version."""
    groups: dict[tuple[str, str, str, str, str], list[Case]] = {}
    for case in cases:
        key = case.device, case.kind.value, library(case), operation(case), held(case)
        groups.setdefault(key, []).append(case)
    rows = tuple(
        {"operation": Cell(what), "format": Cell(of), "library": Cell(version), "device": Cell(device),
         "kind": Cell(kind), "told": Cell(_told(group)), "error": _worst(group), "dtypes": Cell(_wrong_in(group))}
        for (device, kind, version, what, of), group in groups.items()
    )  # fmt: skip
    columns = (
        Column("operation", "operation"), Column("format", "format"), Column("library", "library"),
        Column("device", "device", detail=len({row["device"].text for row in rows}) <= 1),
        Column("kind", "kind", detail=len({row["kind"].text for row in rows}) <= 1),
        Column("told", "cases"), Column("error", "largest error of a wrong one"), Column("dtypes", "wrong in"),
    )  # fmt: skip
    return Table("Which kernels are right", columns, rows, (NOTE, DEVICE_NOTE) if rows else ())


def _told(cases: Sequence[Case]) -> str:
    """Say how many of some cases are right, wrong, refused or else."""
    count = Counter(verdict(case) for case in cases)
    if set(count) == {RIGHT}:
        return f"all {len(cases)} right"
    known = [word for word in (WRONG, *sorted(set(count) - {RIGHT, WRONG})) if word in count]
    return f"{', '.join(f'{count[word]} {word}' for word in known)} of {len(cases)}"


def _worst(cases: Sequence[Case]) -> Cell:
    wrong = [estimated(case, "numerics.error") for case in cases if verdict(case) == WRONG]
    finite = [cell for cell in wrong if cell.is_number]
    if len(finite) < len(wrong):
        return Cell("not finite")
    return max(finite, key=lambda cell: cell.number, default=Cell(""))


def _wrong_in(cases: Sequence[Case]) -> str:
    dtypes = {case.config.dtype for case in cases if verdict(case) == WRONG}
    return ", ".join(dtype for dtype in DTYPES if dtype in dtypes)


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return a map of right, wrong and refused under the newest versions of one device."""
    found = [case for case in latest(cases) if not settings(case)]
    if not found:
        return []
    rows = list(dict.fromkeys(_row(case) for case in found))
    columns = list(dict.fromkeys(_column(case) for case in sorted(found, key=lambda case: not _column(case))))
    at = {(_row(case), _column(case)): case for case in found}
    levels = [[_level(at.get((row, column))) for column in columns] for row in rows]
    words = [[_word(at.get((row, column))) for column in columns] for row in rows]
    trace = {
        "type": "heatmap", "x": [label(text) for text in columns], "y": [label(text) for text in rows],
        "z": levels, "text": words, "texttemplate": "%{text}", "zmin": 0, "zmax": 1,
        "colorscale": COLOURS, "showscale": False, "xgap": 2, "ygap": 2,
    }  # fmt: skip
    layout = {
        "yaxis": {"autorange": "reversed", "dtick": 1},
        "xaxis": {"title": {"text": "outputs × inputs, dtype"}, "dtick": 1, "tickangle": -60},
        "height": ROW_HEIGHT * len(rows) + AROUND,
    }
    shown = tuple(
        {"row": Cell(row), **{column: Cell(_word(at.get((row, column)))) for column in columns}} for row in rows
    )
    table_of = Table("Right, wrong, refused", (Column("row", "operation, format"),
                     *(Column(column, column) for column in columns)), shown)  # fmt: skip
    return [Chart("numerics-map", _finding(found), drawn([trace], layout), table_of)]


def _row(case: Case) -> str:
    return f"{operation(case)}, {held(case)}"


def _column(case: Case) -> str:
    options = case.config.study_options
    blocks = f", blocks of {options['blocksize']}" if options["blocksize"] != 64 else ""
    return f"{options['rows']} × {options['columns']}{blocks}, {case.config.dtype}"


def _level(case: Case | None) -> float | None:
    return None if case is None else LEVELS.get(verdict(case), REFUSED)


def _word(case: Case | None) -> str:
    return "" if case is None else verdict(case)


def _finding(cases: Sequence[Case]) -> str:
    """Say how many are wrong and refused, and of which operations and formats."""
    versions = ", ".join(sorted({library(case) for case in cases}))
    wrong, refused = ([case for case in cases if verdict(case) in words] for words in ((WRONG,), ("unsupported",)))
    if not wrong and not refused:
        return f"All {len(cases)} kernels that were checked are right ({versions})."
    named = ", ".join(dict.fromkeys(_row(case) for case in wrong))
    said = f"Of {len(cases)} kernels {len(wrong)} are wrong and {len(refused)} are refused ({versions})"
    return f"{said}: {named} wrong." if wrong else f"{said}."
