"""What a page consists of, before it is HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bench.report.chart import Chart
from bench.report.findings import Finding
from bench.report.tables import Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it: words, findings, charts, tables; `key` is its anchor on the page."""

    key: str
    title: str
    about: str = ""
    findings: tuple[Finding, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    style: str = "dense"
    kind: str = ""
    chart_rows: int = 60
    """Rows that the table behind a chart has at most."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands below the heading but words."""
        return not (self.findings or self.charts or any(table.rows for table in self.tables))


@dataclass(frozen=True, slots=True)
class Page:
    """A page: where it lies below the site's root, what it is called, one sentence about it, and its sections."""

    path: str
    title: str
    lead: str
    sections: tuple[Section, ...]
    soft: str = ""
    """A second half of the title, set in a softer colour."""
    empty: str = ""
    """What stands there when no section has anything to show."""


def in_parts(table: Table, rows: int) -> Iterator[Table]:
    """Cut a table into parts of so many rows at most, each saying which rows it has; notes stand below the last."""
    if len(table.rows) <= rows:
        yield table
        return
    for first in range(0, len(table.rows), rows):
        part = table.rows[first : first + rows]
        title = f"{table.title}, rows {first + 1} to {first + len(part)} of {len(table.rows)}"
        is_last = first + rows >= len(table.rows)
        yield replace(table, title=title, rows=part, notes=table.notes if is_last else ())


def thinned(chart: Chart, most: int) -> Chart:
    """Keep the table behind a chart short: of more than `most` rows every n-th, and the last."""
    rows = chart.table.rows
    if len(rows) <= most:
        return chart
    step = -(-len(rows) // most)
    kept = (*rows[::step], *(rows[-1:] if (len(rows) - 1) % step else ()))
    note = f"One row in {step} of {len(rows)}; the records have all."
    return replace(chart, table=replace(chart.table, rows=kept, notes=(*chart.table.notes, note)))


@dataclass
class Sources:
    """What the numbers of a table come from, each said once: a number names its place in the list.

    `kind` and `runs` are those that most numbers share; only the others say theirs.
    """

    kind: str = ""
    runs: tuple[str, ...] = ()
    _known: dict[object, int] = field(default_factory=dict)

    @classmethod
    def of_table(cls, table: Table) -> Sources:
        """Find out what most numbers of a table share."""
        cells = [cell for row in table.rows for cell in row.values() if cell.is_number and cell.metric]
        kinds, runs = (Counter(getattr(cell, name) for cell in cells) for name in ("kind", "runs"))
        return cls(_most(kinds, ""), _most(runs, ()))

    def of(self, item: tuple[str, ...] | str) -> int:
        """Return the place of some runs, or of words, in the list."""
        return self._known.setdefault(item, len(self._known))

    def listed(self) -> list[object]:
        """Return the list, in the order in which it was asked for."""
        return list(self._known)


def _most(counted: Counter[T], otherwise: T) -> T:
    """Return what there is most of, where it is more than one."""
    found = counted.most_common(1)
    return found[0][0] if found and found[0][1] > 1 else otherwise
