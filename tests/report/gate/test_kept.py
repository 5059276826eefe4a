"""A comparison that was kept says the same when it is read again: verdicts, changes, versions, how it ended."""

from __future__ import annotations

from functools import partial

import pytest

from bench.analysis.gate.comparison import compare
from bench.analysis.gate.verdicts import Verdict
from bench.report.gate.document import as_json
from bench.report.gate.forest import MOST, forest
from bench.report.gate.kept import as_findings, differences, ending_of, matrix
from bench.report.gate.verdict_table import findings_table, table
from bench.schema.comparison import ComparisonFact, decode
from tests.comparisons import sides, slower


@pytest.fixture(scope="module")
def compared() -> tuple[object, ComparisonFact]:
    """A comparison in which every step takes 10 % longer, and what its file holds."""
    made = compare(*sides(change=partial(slower, factor=1.1)))
    return made, decode(as_json(made).encode())


def test_findings_come_back_as_they_were(compared) -> None:
    """Verdict, reason, numbers, change and pairs of every finding survive the file; the runs it rests on do not."""
    made, fact = compared
    kept = as_findings(fact)
    assert len(kept) == len(made.findings)
    for one, other in zip(made.findings, kept, strict=True):
        assert (one.case, one.metric, one.verdict, one.why) == (other.case, other.metric, other.verdict, other.why)
        assert (one.old, one.new, one.change, one.pairs) == (other.old, other.new, other.change, other.pairs)
        assert other.old_runs == ()


def test_the_table_of_kept_findings_is_the_comparisons_own(compared) -> None:
    """The words of every row are those that the comparison printed."""
    made, fact = compared
    said = [[row[column.key].text for column in shown.columns] for shown in (table(made, unchanged=True),)
            for row in shown.rows]  # fmt: skip
    again = findings_table("", as_findings(fact), unchanged=True)
    assert [[row[column.key].text for column in again.columns] for row in again.rows] == said


def test_the_matrix_has_a_row_a_comparison_with_its_counts(compared) -> None:
    """Counts, sides and ending stand in one row; verdicts that nowhere occur have no column."""
    _, fact = compared
    found = matrix({"peft-a-b": fact})
    (row,) = found.rows
    assert row["name"].text == "peft-a-b"
    assert row[Verdict.REGRESSED].text == str(fact.counts["regressed"])
    assert row["ending"].text == ending_of(fact) == "something is worse"
    assert "fixed" not in {column.key for column in found.columns}
    assert row["package.peft"].text == "0.21.2"
    assert list(differences(fact)) == []


def test_the_forest_draws_the_urgent_first_with_intervals(compared) -> None:
    """Every drawn change has its interval around it, regressions stand before what is unchanged, tables have all."""
    _, fact = compared
    chart = forest("x", as_findings(fact))
    assert chart is not None
    names = [name for trace in chart.figure["data"] for name in trace["y"]]
    assert len(names) == min(MOST, len(chart.table.rows))
    assert chart.figure["data"][0]["name"] == "regressed"
    for trace in chart.figure["data"]:
        assert all(reach >= 0 for side in ("array", "arrayminus") for reach in trace["error_x"][side])
    assert "regressed" in chart.finding


def test_without_changes_there_is_no_forest() -> None:
    """Findings without an interval draw nothing."""
    assert forest("x", []) is None
