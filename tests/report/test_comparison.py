"""The guide's comparison shows measured cells beside published ones and mixes neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.analysis.cases import group, read
from bench.analysis.match import comparisons
from bench.report.comparison import comparison_table
from bench.report.figures import tradeoff
from bench.report.findings import findings
from bench.report.guide import CELLS
from bench.report.summary import failures, summary
from bench.report.tables import Table
from bench.schema import RunRecord
from tests.records import METHODS, failed, filled, fixed_shape, learning, record


def t1(root: Path, *records: RunRecord) -> Table:
    (found,) = comparisons(group(read(filled(root, *records))[0]))
    return comparison_table(found)


def test_every_cell_of_the_guide_is_published_and_every_number_is_measured(example_results: Path) -> None:
    """Cells of the guide's columns are published and cite it; figures of ours are measured and name their runs."""
    (found,) = comparisons(group(read(example_results)[0]))
    table = comparison_table(found)
    guide = [cell for row in table.rows for key, cell in row.items() if key.endswith(".guide")]
    ours = [cell for row in table.rows for key, cell in row.items() if key in METHODS and cell.is_number]
    assert sorted(str(cell.value) for cell in guide) == sorted(CELLS.values())
    assert {cell.kind for cell in guide} == {"published"}
    assert all("section 4" in cell.how for cell in guide)
    assert {cell.kind for cell in ours} == {"measured"}
    assert all(cell.runs and cell.link for cell in ours)
    assert len(ours) > 30


def test_ratios_compare_with_full_and_carry_intervals(example_results: Path) -> None:
    """Speed, accuracy and inference of LoRA and QLoRA are ratios to Full with intervals around them."""
    (found,) = comparisons(group(read(example_results)[0]))
    rows = {str(row["row"].value): row for row in comparison_table(found).rows}
    for name in ("Training speed", "Accuracy", "Inference"):
        for method in ("lora", "qlora"):
            cell = rows[f"{name} against Full"][method]
            assert isinstance(cell.value, float)
            assert (cell.low or 9) < cell.value < (cell.high or 0)
            assert cell.against
    assert rows["Training speed against Full"]["full"].value == "1, by definition"


def test_single_runs_compare_inference_by_batches(tmp_path: Path) -> None:
    """With one run a side the inference ratio rests on batches and says so; the speed ratio has no interval."""
    runs = [record(make(method)) for make in (fixed_shape, learning) for method in METHODS]
    rows = {str(row["row"].value): row for row in t1(tmp_path, *runs).rows}
    assert "batches" in rows["Inference against Full"]["lora"].how
    assert rows["Inference against Full"]["lora"].low is not None
    assert rows["Training speed against Full"]["lora"].low is None


def test_full_out_of_memory_is_shown_as_such(tmp_path: Path) -> None:
    """When Full does not fit, its cells say oom, the ratios are absent with the reason, and nothing is 0."""
    table = t1(tmp_path, failed(fixed_shape("full")), record(fixed_shape("lora")), record(fixed_shape("qlora")))
    rows = {str(row["row"].value): row for row in table.rows}
    assert rows["Training speed, tokens/s"]["full"].text == "oom in train"
    assert rows["Training speed against Full"]["lora"].value is None
    assert rows["Training speed against Full"]["lora"].reason == "no good run of Full on equal work"


def test_a_missing_method_is_named(tmp_path: Path) -> None:
    """A method without a run on equal work is absent with that reason and named in a note."""
    table = t1(tmp_path, record(fixed_shape("full")), record(fixed_shape("lora")))
    assert all(row["qlora"].value is None for row in table.rows)
    assert any("QLoRA has no run on equal work" in note for note in table.notes)


def test_notes_name_cases_rates_and_what_is_not_comparable(example_results: Path) -> None:
    """The notes say which cases were used, that rates differ, and that 70B cells are not comparable."""
    (found,) = comparisons(group(read(example_results)[0]))
    notes = " ".join(comparison_table(found).notes)
    for case in (*found.speed.cases.values(), *found.learning.cases.values()):
        assert case.name in notes
    assert "different learning rates (Full 2e-05, LoRA 0.0002, QLoRA 0.0002)" in notes
    assert "not comparable" in notes


def test_findings_are_built_from_the_table(example_results: Path) -> None:
    """Every number of a headline is a cell of the comparison."""
    (found,) = comparisons(group(read(example_results)[0]))
    cells = [cell for row in comparison_table(found).rows for cell in row.values()]
    parts = [part for finding in findings(found) for part in finding.parts if not isinstance(part, str)]
    assert len(parts) == 8
    assert all(part in cells for part in parts)


def test_summary_and_failures_lose_no_case(example_results: Path) -> None:
    """Every case has a row in the summary, and every failed run one among the failures."""
    cases = group(read(example_results)[0])
    assert len(summary(cases).rows) == len(cases) == 7
    (row,) = failures(cases).rows
    assert (row["status"].value, row["phase"].value, row["requested"].text) == ("oom", "train", "4.00 GiB")


@pytest.mark.parametrize("metric", ["train.tokens_per_second", "evaluate.accuracy"])
def test_summary_never_shows_zero_for_absent(example_results: Path, metric: str) -> None:
    """A case that holds no number of a metric shows words."""
    for row in summary(group(read(example_results)[0])).rows:
        assert row[metric].value is None or row[metric].value != 0


def test_a_chart_names_a_winner_only_where_intervals_part(tmp_path: Path) -> None:
    """A chart's sentence calls a method most accurate only if its interval lies above the others'."""

    def finding(root: Path, wrong: int) -> str:
        right = {"full": "1" * 190 + "0" * 10, "lora": "1" * (190 - wrong) + "0" * (10 + wrong)}
        runs = [replace(record(learning(m)), items={"before": "0" * 200, "after": bits}) for m, bits in right.items()]
        (found,) = comparisons(group(read(filled(root, *runs))[0]))
        chart = tradeoff(found, "key")
        assert chart is not None
        return chart.finding

    assert finding(tmp_path / "near", 2).startswith("Test items right: Full 95%, LoRA 94%; these intervals do not")
    assert finding(tmp_path / "far", 80).startswith("Full answers most test items right (95%)")
