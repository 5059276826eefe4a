"""Pages keep within their budget whatever stands on them, and no row is lost or shown twice on the way."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.results import Results
from bench.report.chart import Chart
from bench.report.site.assembly import BUDGET, laid_out
from bench.report.site.page import Page, Section, in_parts, thinned
from bench.report.tables import Cell, Column, Table

SIZES = st.lists(st.integers(0, 400), min_size=1, max_size=6)
WIDE = "wide " * 60


def table(name: int, rows: int, words: str = "") -> Table:
    made = tuple({"row": Cell(f"row-{name}-{place} {words}")} for place in range(rows))
    return Table(f"Table {name}", (Column("row", "row"),), made, ("a note",))


@settings(max_examples=25, deadline=None)
@given(SIZES)
def test_no_page_is_above_its_budget_and_every_row_stands_once(sizes: list[int]) -> None:
    """Rows come in their order over all pages, each once; every page leads to the others."""
    sections = tuple(Section(f"s{place}", f"Section {place}", tables=(table(place, size, WIDE),))
                     for place, size in enumerate(sizes))  # fmt: skip
    files = list(laid_out(Page("many.html", "Many", "lead", sections), Results([])))
    assert all(len(html.encode()) <= BUDGET for _, html in files)
    found = [tuple(map(int, pair)) for _, html in files for pair in re.findall(r"row-(\d+)-(\d+)", html)]
    assert found == [(place, row) for place, size in enumerate(sizes) for row in range(size)]
    if len(files) > 1:
        for _, html in files:
            assert all(f'href="{path}"' in html for path, _ in files)
        assert [path for path, _ in files][:2] == ["many.html", "many-2.html"]


def test_a_heading_that_goes_on_says_so() -> None:
    """The second page of one section repeats its heading as continued, once."""
    section = Section("s", "Section", "about it", tables=tuple(table(place, 150, WIDE) for place in range(8)))
    files = list(laid_out(Page("many.html", "Many", "lead", (section,)), Results([])))
    assert len(files) > 1
    assert ["Section, continued" in html for _, html in files] == [False] + [True] * (len(files) - 1)
    assert [html.count('id="s"') for _, html in files] == [1] * len(files)
    assert sum("about it" in html for _, html in files) == 1


@given(st.integers(0, 50), st.integers(1, 60))
def test_parts_of_a_table_are_the_table(rows: int, most: int) -> None:
    """No part is longer than asked, together they are all rows, and the notes stand below the last."""
    whole = table(0, rows)
    parts = list(in_parts(whole, most))
    assert all(len(part.rows) <= most for part in parts)
    assert tuple(row for part in parts for row in part.rows) == whole.rows
    assert [bool(part.notes) for part in parts] == [False] * (len(parts) - 1) + [True]


@given(st.integers(1, 300), st.integers(1, 60))
def test_a_thinned_table_keeps_its_ends_and_says_what_is_left_out(rows: int, most: int) -> None:
    """First and last row stay, at most one more than asked is kept, and a note says how many there were."""
    short = thinned(Chart("k", "f", {}, table(0, rows)), most).table
    assert (short.rows[0]["row"], short.rows[-1]["row"]) == (Cell("row-0-0 "), Cell(f"row-0-{rows - 1} "))
    assert len(short.rows) <= most + 1
    assert (f"of {rows}" in short.notes[-1]) is (rows > most)
