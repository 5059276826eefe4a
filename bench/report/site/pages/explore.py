"""Every case, to be filtered and sorted; its first rows stand in the page, all of them in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.analysis.results import Results
from bench.report.explore import FACETS, every
from bench.report.site.assembly import whole
from bench.report.site.page import Sources
from bench.report.site.templating import piece
from bench.report.tables import Cell, Table

PATH = "explore.html"
DATA = "data/cases.js"
"""What the page's script reads: a script itself, since pages from disk may load nothing else."""
VARIABLE = "ftbenchCases"
FIRST = 60
"""Rows in the page itself, for readers without scripts; each has a page of its own, and data/records.csv has all."""
NARROW = ("rank", "stack", "started")
"""Columns that the page itself leaves out."""


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page and its data."""
    table = every(results.cases)
    columns = tuple(replace(column, detail=column.key in NARROW) for column in table.columns)
    first = replace(table, columns=columns, rows=table.rows[:FIRST])
    yield PATH, whole(
        "explore.html", PATH, results, count=len(table.rows), first=len(first.rows), data=DATA, facets=_facets(table),
        table=piece("table", first, "", Sources.of_table(first), style="dense"),
    )  # fmt: skip
    yield DATA, f"var {VARIABLE} = {_data(table)};\n"


def _facets(table: Table) -> list[dict[str, Any]]:
    """Return the words of every facet that has more than one."""
    labels = {column.key: column.label for column in table.columns}
    found = {key: sorted({row[key].text for row in table.rows} - {""}) for key in FACETS}
    return [{"key": key, "label": labels[key], "words": words} for key, words in found.items() if len(words) > 1]


def _data(table: Table) -> str:
    columns = [{"key": column.key, "label": column.label, "about": column.about} for column in table.columns]
    rows = [[_told(row[column.key]) for column in table.columns] for row in table.rows]
    links = [row["case"].link for row in table.rows]
    document = {"columns": columns, "facets": list(FACETS), "links": links, "rows": rows}
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c")


def _told(cell: Cell) -> Any:
    """Return words, or a number with its words and unit; what is absent has words alone."""
    if cell.is_number:
        return [cell.value, cell.text, cell.unit]
    return [None, "", ""] if cell.value is None else cell.text
