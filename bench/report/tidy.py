"""Tables fit to be read: no empty columns or rows, and reasons below the table instead of within it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from bench.analysis.cases import Case
from bench.analysis.values import NOT_ASKED, NOT_COMPUTED, NOT_PREDICTED, NOT_PUBLISHED
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics import METRICS

LONGEST_NOTE = 300  # characters of a reason below a table; the case's page has all of it
NOTHING = "-"
UNMISSED = ("", NOT_ASKED, NOT_COMPUTED, NOT_PREDICTED, NOT_PUBLISHED)
"""Reasons of numbers that nobody misses."""
Row = Mapping[str, Cell]


def possible(case: Case, metric: str) -> Cell:
    """Return the cell of a metric over the good runs of a case; "-" where its device cannot have the metric."""
    cell, devices = estimated(case, metric), METRICS[metric].devices
    elsewhere = devices and case.config.device.partition(":")[0] not in devices
    return replace(cell, brief=NOTHING) if elsewhere else cell


def tidy(table: Table, figures: Collection[str]) -> Table:
    """Leave out what says nothing, and move reasons into notes; `figures` are the keys of columns with numbers.

    A column of figures that no row fills goes, with its reason in a note. So does a row with figures
    that nobody asked for. Cells without a number refer to a note, "absent (1)", or are "-"
    where nobody asked, or nobody could. A kind that all rows share is told in the title.
    """
    filled = {key for key in figures if any(row[key].is_number for row in table.rows if key in row)}
    empty = [column for column in table.columns if column.key in figures and column.key not in filled]
    rows = [
        row for row in table.rows
        if _says_something(row, filled) or _ended(row, figures) or not any(key in row for key in figures)
    ]  # fmt: skip
    columns = tuple(column for column in table.columns if column not in empty)
    reasons = list(dict.fromkeys(_reasons(rows, filled)))
    numbers = {reason: number for number, reason in enumerate(reasons, 1)}
    keys = {column.key for column in columns}
    shown = tuple({key: _referring(cell, numbers) for key, cell in row.items() if key in keys} for row in rows)
    own = table.notes if shown else ()
    notes = (*(f"({number}) not measured: {_cut(reason)}" for reason, number in numbers.items()),
             *_left_out(table.rows, empty), *_silent(len(table.rows) - len(rows)), *own)  # fmt: skip
    return _with_one_kind(replace(table, columns=columns, rows=shown, notes=notes))


def _with_one_kind(table: Table) -> Table:
    kinds = {row["kind"].text for row in table.rows if "kind" in row}
    if len(kinds) != 1:
        return table
    columns = tuple(replace(c, detail=True) if c.key == "kind" else c for c in table.columns)
    return replace(table, title=f"{table.title}, {kinds.pop()}", columns=columns)


def _says_something(row: Row, keys: Collection[str]) -> bool:
    cells = [row[key] for key in keys if key in row]
    return any(cell.is_number or cell.brief not in ("", NOTHING) or _explained(cell) for cell in cells)


def _ended(row: Row, keys: Collection[str]) -> bool:
    """Tell whether a row's runs ended without numbers, which is a result also where no row has any."""
    return any(row[key].brief not in ("", NOTHING) for key in keys if key in row)


def _explained(cell: Cell) -> bool:
    return cell.value is None and not cell.brief and cell.reason not in UNMISSED


def _reasons(rows: Iterable[Row], keys: Collection[str]) -> Iterable[str]:
    return (cell.reason for row in rows for key, cell in row.items() if key in keys and _explained(cell))


def _referring(cell: Cell, numbers: Mapping[str, int]) -> Cell:
    if cell.value is not None or cell.brief:
        return cell
    number = numbers.get(cell.reason)  # a column that is no figure may lack a number for a reason without a note
    return replace(cell, brief=NOTHING if number is None else f"absent ({number})")


def _left_out(rows: Iterable[Row], empty: Collection[Column]) -> list[str]:
    """Say which columns were left out for a reason; those of which nobody asked are not missed."""
    rows, labels = list(rows), dict[str, list[str]]()
    for column in empty:
        for reason in dict.fromkeys(_reasons(rows, {column.key})):
            labels.setdefault(reason, []).append(column.label)
    return [f"Not measured in any run: {', '.join(named)}: {_cut(reason)}" for reason, named in labels.items()]


def _silent(count: int) -> list[str]:
    return [f"Left out: rows without any of these numbers, {count}."] if count else []


def _cut(reason: str) -> str:
    return reason if len(reason) <= LONGEST_NOTE else f"{reason[: LONGEST_NOTE - 1]}…"
