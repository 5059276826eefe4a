"""Numbers keep their digits and text cannot become markup, in every format."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import render
from bench.report.display import shown
from bench.report.tables import LONGEST_REASON, Cell, Column, Table

HOSTILE = ["<script>alert(1)</script>", "a|b`c`*d*", "=1+1", "+1", "-1", "@x", "\x1b[31mred", "line\nbreak", "é→×"]


def table(*cells: Cell, notes: tuple[str, ...] = ()) -> Table:
    columns = (Column("name", "name"), Column("value", "value"), Column("extra", "extra", detail=True))
    return Table("A title", columns, tuple({"name": Cell("row"), "value": cell} for cell in cells), notes)


@pytest.mark.parametrize(
    ("value", "unit", "low", "high", "text"),
    [
        (2469606195, "B", None, None, "2.30 GiB"),
        (922 * 2**20, "B", None, None, "922 MiB"),
        (12, "B", None, None, "12.0 B"),
        (0.25, "s", None, None, "250 ms"),
        (1.8930, "s", 1.873, 1.913, "1.89 s (1.87–1.91)"),
        (270.18, "tok/s", 267.2, 273.1, "270 tok/s (267–273)"),
        (0.788, "%", 0.727, 0.839, "79% (73–84)"),
        (1.452, "x", 1.435, 1.469, "1.452× (1.435–1.469)"),
        (0.969, "%", 0.937, 0.998, "96.9% (93.7–99.8)"),
        (0.981, "x", 0.962, 0.9996, "0.9810× (0.9620–0.9996)"),
        (0.045, "%", 0.024, 0.083, "4.5% (2.4–8.3)"),
        (134515008, "count", None, None, "134,515,008"),
        (0.0, "1", None, None, "0"),
        (5.0, "s", 5.0, 5.0, "5.00 s"),
        (float("inf"), "s", None, None, "not finite"),
    ],
)
def test_digits_follow_the_interval(value: float, unit: str, low: float | None, high: float | None, text: str) -> None:
    """A number shows as many digits as its interval supports, in a unit for people."""
    assert shown(value, unit, low, high) == text


@given(value=st.floats(1e-9, 1e15), share=st.floats(1e-6, 2), unit=st.sampled_from(["B", "s", "tok/s", "1", "%", "x"]))
def test_what_is_shown_is_near_what_it_is(value: float, share: float, unit: str) -> None:
    """A shown number with an interval is rounded by less than half the interval's width, and never by more than 5 %."""
    text = shown(value, unit, value * (1 - share / 2), value * (1 + share / 2)).partition(" (")[0]
    digits, _, name = text.replace("×", " ").replace("%", " %").partition(" ")
    factor = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "ms": 1e-3, "%": 1e-2}.get(name.strip(), 1)
    if value > 1e-4:
        assert abs(float(digits.replace(",", "")) * factor - value) <= max(0.5 * share * value, 0.005 * value)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_text_stays_text(text: str) -> None:
    """No text from a record opens a tag, a cell, code or emphasis in Markdown."""
    row = render.to_markdown(table(Cell(text), notes=(text,))).splitlines()[4]
    assert "<" not in row
    unescaped = row.replace("\\\\", "").replace("\\|", "").replace("\\`", "").replace("\\*", "")
    assert unescaped.count("|") == 4
    assert "`" not in unescaped
    assert "*" not in unescaped


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_text_is_no_formula(text: str) -> None:
    """A string that a spreadsheet would evaluate gets an apostrophe; every other one comes back as it was."""
    row = next(csv.DictReader(io.StringIO(render.to_csv(table(Cell(text))))))
    assert row["value"] == (f"'{text}" if text[0] in "=+-@" else text)


def test_csv_numbers_are_raw_with_their_interval() -> None:
    """Numbers are written in base units with unit, kind, low, high and n; a negative one stays a number."""
    rows = list(csv.DictReader(io.StringIO(render.to_csv(table(
        Cell(0.25, "%", 0.1, 0.4, 3, kind="measured"), Cell(-1.5, "s"), Cell(None, "s", reason="no clock")
    )))))  # fmt: skip
    assert (rows[0]["value"], rows[0]["value.unit"], rows[0]["value.kind"]) == ("0.25", "1", "measured")
    assert (rows[0]["value.low"], rows[0]["value.high"], rows[0]["value.n"]) == ("0.1", "0.4", "3")
    assert rows[1]["value"] == "-1.5"
    assert (rows[2]["value"], rows[2]["value.reason"]) == ("", "no clock")


def test_json_keeps_zero_apart_from_absent() -> None:
    """A measured 0 and an interval from 0 are written; an absent number is null with its reason."""
    document = json.loads(render.to_json(table(Cell(0.0, "B", 0.0, 1.0, 2), Cell(None, "B", reason="why"))))
    zero, absent = (row["value"] for row in document["rows"])
    assert (zero["value"], zero["low"], zero["high"]) == (0.0, 0.0, 1.0)
    assert absent == {"value": None, "unit": "B", "reason": "why"}


@pytest.mark.parametrize("text", [*HOSTILE, "x" * 10_000])
def test_terminal_text_is_plain(text: str) -> None:
    """The terminal gets printable ASCII only, and no cell longer than a hundred characters."""
    out = render.to_text(table(Cell(text), notes=("note – →",)))
    assert all(c == "\n" or " " <= c <= "~" for c in out)
    assert max(map(len, out.splitlines())) < 130
    assert "extra" not in out


def test_absent_cells_say_why_briefly() -> None:
    """A missing number names its reason, cut where it is long, and never reads as a number."""
    assert Cell(None, "B", reason="no NVML").text == "not measured: no NVML"
    assert len(Cell(None, "B", reason="x" * 10_000).text) == LONGEST_REASON + len("not measured: ")


def test_columns_of_a_terminal_stand_below_each_other() -> None:
    """Every cell starts where its heading does, and no line ends in spaces."""
    out = render.to_text(table(Cell("a"), Cell("a much longer value"))).splitlines()
    head, rule, *rows = out[2:]
    assert rule.split() == ["-" * 4, "-" * len("a much longer value")]
    assert {line.index(word) for line, word in zip([head, *rows], ("value", "a", "a much"), strict=True)} == {6}
    assert not any(line.endswith(" ") for line in out)
