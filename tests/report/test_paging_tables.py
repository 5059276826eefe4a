"""The tables of paging show what pages nothing as nothing, and never a counter's run as a stall."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.analysis.stall import stall
from bench.analysis.turns import TURNS
from bench.report.paging import COUNTED, paging
from bench.report.questions import QUESTIONS
from bench.report.tables import Table
from bench.schema import Failure, RunRecord, Status
from tests.records import cases_of, counted, failed, fixed_shape, paged, record


def tables(*runs: RunRecord) -> list[Table]:
    return paging(cases_of(*runs))


def test_a_stall_has_its_own_interval_and_the_steps_behind_it() -> None:
    """One run gives a bootstrap interval over its blocks; cold minus resident is the stall."""
    made = paged("fault", 0.5)
    costs, moved, counters = tables(made)
    (row,) = costs.rows
    found = stall(made)
    assert found is not None
    assert (row["paging.stall"].value, row["paging.stall"].low) == (found.value, found.low)
    assert row["paging.cold_step"].value == TURNS["paging.cold_step"](made)
    assert row["paging.resident_step"].value == TURNS["paging.resident_step"](made)
    assert (row["path"].text, row["fraction"].text, row["optimizer"].text) == ("fault", "50.0%", "AdamW, mapped")
    assert moved.rows[0]["paging.chilled_bytes"].value == made.metrics["paging.state_bytes"] // 2
    assert moved.rows[0]["paging.cold_major_faults"].is_number
    assert counters.rows == ()


def test_only_cases_that_page_on_purpose_are_shown() -> None:
    """A case without pressure has no row, and each fraction and path has its own, in order."""
    runs = [
        record(fixed_shape("full")),
        *(paged(path, share) for path in ("prefetch", "fault") for share in (1.0, 0.0)),
    ]
    costs, moved, _ = tables(*runs)
    shown = [(row["path"].text, row["fraction"].value) for row in costs.rows]
    assert shown == [("fault", 0.0), ("fault", 1.0), ("prefetch", 0.0), ("prefetch", 1.0)]
    assert len(moved.rows) == len(shown)


def test_the_paged_share_is_always_shown() -> None:
    """In all three tables, and an optimiser that pages nothing is called so, its stall absent with the reason."""
    nothing = paged("prefetch", 1.0, batch_size=2)
    nothing = replace(nothing, metrics={**nothing.metrics, "paging.paged_bytes": 0})
    costs, moved, counters = tables(paged(), nothing, counted())
    for table in (costs, moved, counters):
        assert "paging.paged_share" in [column.key for column in table.columns if not column.detail]
    assert {row["paging.paged_share"].text for row in costs.rows} == {"100.0%", "0: pages nothing"}
    (row,) = (row for row in costs.rows if row["paging.paged_share"].value == "0: pages nothing")
    assert row["paging.stall"].text.startswith("absent (")
    assert any("pages nothing here" in note for note in costs.notes)


@pytest.mark.parametrize("believed", [True, False])
def test_runs_with_counters_are_rows_of_their_own(believed: bool) -> None:
    """They give counts and whether these are believed, and no stall."""
    costs, _, counters = tables(paged(), counted(believed))
    assert len(costs.rows) == len(counters.rows) == 1
    (row,) = counters.rows
    assert row["believed"].text == ("yes" if believed else "no")
    assert all(row[name].is_number for name in COUNTED)
    assert costs.rows[0]["paging.stall"].runs != row["paging.fault_groups"].runs


def test_a_machine_that_cannot_page_says_why() -> None:
    """A run that this machine refused has a row with how it ended and a note in its own words."""
    why = Failure(phase="train", message="this machine has no memory group that may be limited")
    refused = failed(
        fixed_shape("full", paging="limit", optimizer="mapped_adamw"), status=Status.UNSUPPORTED, failure=why
    )
    costs, *_ = tables(paged(), refused)
    assert "unsupported in train" in [row["paging.stall"].text for row in costs.rows]
    assert any("no memory group that may be limited" in note for note in costs.notes)


def test_the_chart_draws_every_stall_with_its_interval() -> None:
    """Each way and share is a bar as high as its stall; the longest is named; runs with counters have none."""
    ways = [("prefetch", 0.0), ("fault", 0.5), ("fault", 1.0)]
    cases = cases_of(*(paged(way, share) for way, share in ways), counted())
    (chart,) = QUESTIONS["paging"].charts(cases)
    (bars,) = chart.figure["data"]
    assert sorted(bars["x"]) == sorted(f"{way}, {share:.0%}" for way, share in ways)
    stalls = {row["way"].text: row["stall"] for row in chart.table.rows}
    for way, height in zip(bars["x"], bars["y"], strict=True):
        assert height == pytest.approx(stalls[way].number, rel=1e-4)
    assert "fault, 100%" in chart.finding
    assert QUESTIONS["paging"].charts(cases_of(counted())) == []
