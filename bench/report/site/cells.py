"""Cells and rows of tables as HTML, written by hand: there are hundreds of thousands, and a template is too slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from bench.report.site.page import Sources
from bench.report.tables import Cell, Column, Table

EXACT = 2**53
"""Whole numbers below this are written without a point; doubles hold them exactly."""
LONG = 40
"""Letters from which words need a wide column, or their row becomes a tower where width is short."""
LONGEST_REASON = 300
"""Characters of a reason that is shown when it is pointed at; the record has all of it."""


def number(cell: Cell, sources: Sources, *, at_row: bool = False) -> Markup:
    """Write a number with its raw value, unit, interval, and the places of its origins in `sources`.

    A kind and runs that most numbers of the table share stand at the table; its metric and unit may stand `at_row`.
    """
    main, _, interval = cell.text.partition(" (")
    said = [f'<data value="{_raw(cell.number)}"']
    if cell.unit != "1" and not at_row:
        said.append(f' data-unit="{escape(cell.unit)}"')
    if cell.kind and not (cell.metric and cell.kind == sources.kind):
        said.append(f' data-kind="{escape(cell.kind)}"')
    if cell.low is not None and cell.high is not None and cell.low < cell.high:
        said.append(f' data-low="{_raw(cell.low)}" data-high="{_raw(cell.high)}"')
    if cell.metric and not at_row:
        said.append(f' data-metric="{escape(cell.metric)}"')
    if cell.runs and not (cell.metric and cell.runs == sources.runs):
        said.append(f' data-runs="{sources.of(cell.runs)}"')
    if cell.against:
        said.append(f' data-against="{sources.of(cell.against)}"')
    if cell.how:
        said.append(f' data-how="{sources.of(cell.how)}"')
    within = f' <span class="interval">({escape(interval)}</span>' if interval else ""
    said.append(f">{escape(main)}{within}</data>")
    return Markup("".join(said))  # noqa: S704 (every text is escaped above)


def entry(cell: Cell, root: str, sources: Sources, *, linked: bool = False, at_row: bool = False) -> Markup:
    """Write a cell: a number, words, or that there is none; words that lead somewhere, and numbers where `linked`."""
    if cell.is_number:
        written: Markup = number(cell, sources, at_row=at_row)
    elif cell.value is None:
        why = f' title="{escape(cell.reason[:LONGEST_REASON])}"' if cell.reason else ""
        written = Markup(f'<span class="absent"{why}>{escape(cell.text)}</span>')  # noqa: S704 (escaped)
    else:
        written = escape(cell.text)
    leads = cell.link and (linked or isinstance(cell.value, str))
    return Markup(f'<a href="{root}{escape(cell.link)}">{written}</a>') if leads else written  # noqa: S704 (escaped)


def rows(table: Table, columns: Sequence[Column], root: str, sources: Sources, *, linked: bool = False) -> Markup:
    """Write the rows of a table; tags that HTML lets one leave open are left open."""
    guide = {column.key for column in columns if ".guide" in column.key}
    lines = []
    for row in table.rows:
        shared = _shared(row, columns)
        line = [f'<tr data-metric="{escape(shared[0])}" data-unit="{escape(shared[1])}">' if shared else "<tr>"]
        for place, column in enumerate(columns):
            cell = row.get(column.key)
            opening = "<th scope=row>" if place == 0 else _opening(cell, of_guide=column.key in guide)
            written = entry(cell, root, sources, linked=linked, at_row=shared is not None) if cell else ""
            line.append(f"{opening}{written}")
        lines.append("".join(line))
    return Markup("\n".join(lines) + "\n")  # noqa: S704 (made of escaped entries)


def _opening(cell: Cell | None, *, of_guide: bool) -> str:
    long = cell is not None and isinstance(cell.value, str) and len(cell.value) >= LONG
    kinds = [kind for kind, wanted in (("guide", of_guide), ("long", long)) if wanted]
    return f'<td class="{" ".join(kinds)}">' if kinds else "<td>"


def _raw(value: float) -> str:
    """Write a number so that it is read back exactly."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < EXACT else repr(value)


def _shared(row: Mapping[str, Cell], columns: Sequence[Column]) -> tuple[str, str] | None:
    """Return the metric and unit of a row whose numbers, two or more, are all of one; else None."""
    found = [cell for column in columns if (cell := row.get(column.key)) and cell.is_number]
    of = {(cell.metric, cell.unit) for cell in found}
    return of.pop() if len(found) > 1 and len(of) == 1 and found[0].metric else None
