"""A cell as HTML gives back what it was made of, and no text of a record becomes markup."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.report.display import shown
from bench.report.site.cells import entry, number, rows
from bench.report.site.check import Page
from bench.report.site.page import Sources
from bench.report.site.templating import script_json
from bench.report.tables import Cell, Column, Table

TEXT = st.text(max_size=30)
FINITE = st.floats(-1e12, 1e12)
UNITS = st.sampled_from(["B", "s", "%", "x", "count", "1", "tok/s"])


def page_of(html: str, sources: Sources) -> Page:
    return Page(f'{html}<script type="application/json" class="sources">{script_json(sources.listed())}</script>')


@given(value=FINITE, unit=UNITS, low=FINITE, kind=st.sampled_from(["measured", "derived"]),
       runs=st.lists(TEXT.filter(lambda text: text.split() == [text]), max_size=3).map(tuple))  # fmt: skip
def test_a_number_is_read_back_whole(value: float, unit: str, low: float, kind: str, runs: tuple[str, ...]) -> None:
    """Value, unit, interval, kind and runs come back exactly, and the text is what the value reads as."""
    cell = Cell(value, unit, min(low, value), max(low, value), 2, "how", kind=kind, metric="train.seconds", runs=runs)
    sources = Sources()
    ((attributes, text),) = page_of(str(number(cell, sources)), sources).numbers
    assert float(attributes["value"]) == value
    ends = [float(attributes[f"data-{end}"]) if f"data-{end}" in attributes else value for end in ("low", "high")]
    assert ends == [cell.low, cell.high]
    assert attributes.get("data-unit", "1") == unit
    assert attributes["data-kind"] == kind
    assert tuple(attributes.get("data-runs", "").split()) == runs
    assert text == " ".join(shown(value, unit, cell.low, cell.high).split())


@given(words=TEXT, reason=TEXT, link=TEXT)
def test_text_stays_text(words: str, reason: str, link: str) -> None:
    """Words, reasons and addresses of any characters add no element and no attribute."""
    for cell in (Cell(words, link=link), Cell(None, reason=reason or "x", link=link), Cell(None, brief=words)):
        html = str(entry(cell, "", Sources(), linked=True))
        inside = html.removeprefix("<a href=").partition(">")[2].removesuffix("</a>") if html.startswith("<a") else html
        assert inside.replace("</span>", "").count("<") == inside.count('<span class="absent"')
        assert html.count('"') % 2 == 0


def test_what_most_numbers_share_is_said_once() -> None:
    """Kind and runs of most stand at the table; the one that differs says its own."""
    usual = Cell(1.0, "s", kind="measured", metric="train.seconds", runs=("a/b/c",))
    other = Cell(2.0, "s", kind="derived", metric="train.seconds", runs=("d/e/f",))
    table = Table("t", (Column("a", "a"),), ({"a": usual}, {"a": usual}, {"a": other}))
    sources = Sources.of_table(table)
    html = str(rows(table, table.columns, "", sources))
    assert "data-metric" in html
    assert (sources.kind, sources.runs) == ("measured", ("a/b/c",))
    assert html.count("data-kind") == html.count("data-runs") == 1
    opening = f'<table data-kind="{sources.kind}" data-runs="{sources.of(sources.runs)}">'
    numbers = page_of(f"{opening}{html}</table>", sources).numbers
    found = [(attributes["data-kind"], attributes["data-runs"]) for attributes, _ in numbers]
    assert found == [("measured", "a/b/c"), ("measured", "a/b/c"), ("derived", "d/e/f")]


def test_a_row_of_one_metric_says_it_once() -> None:
    """Metric and unit of a row's numbers stand at the row and are read back with each; mixed rows keep their own."""
    one = Cell(1.0, "s", kind="measured", metric="train.seconds", runs=("a/b/c",))
    two = Cell(2.0, "B", kind="measured", metric="train.peak_allocated", runs=("a/b/c",))
    columns = (Column("a", "a"), Column("b", "b"))
    table = Table("t", columns, ({"a": one, "b": one}, {"a": one, "b": two}))
    sources = Sources()
    html = str(rows(table, columns, "", sources))
    assert html.count("train.seconds") == 2
    found = [(attributes["data-metric"], attributes["data-unit"]) for attributes, _ in page_of(html, sources).numbers]
    assert found == [("train.seconds", "s")] * 3 + [("train.peak_allocated", "B")]
