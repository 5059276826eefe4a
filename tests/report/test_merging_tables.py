"""What a merge keeps, as tables and charts: numbers with their pairs, refusals in sight, findings from the numbers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.analysis.cases import Case
from bench.report.display import shown
from bench.report.questions.merging import charts, tables
from bench.schema import Failure, RunRecord, Status
from tests.records import cases_of, learning, record

SIZES = {"size": 0.003, "kept": 0.004}


def merged(base: str = "nf4", way: str = "in_place", wrong: int = 0, **settings: Any) -> RunRecord:
    """A run that trained, answered a hundred items, 60 of them right, and merged; `wrong` of those wrong afterwards."""
    numbers = {**SIZES, **{name: settings.pop(name) for name in SIZES if name in settings}}
    study = {"study": "merging", "way": way, "base": base, "evaluate_items": 100}
    made = record(learning("lora", **{**study, **settings}))
    found = {
        "merging.update_size": numbers["size"], "merging.update_kept": numbers["kept"], "merging.update_error": 1.05,
        "merging.weight_error": 0.003, "merging.weight_error_largest": 0.008, "merging.kl": 7.5e-9,
        "merging.kl_of_base": 2.59, "merging.kl_from_base": 2.6, "merging.flips": 0.5,
        "merging.perplexity_merged": 185.0, "merge.weights_before": 180_000_000, "merge.weights_after": 160_000_000,
        "merge.seconds": 1.7,
    }  # fmt: skip
    items = {"before": "0" * 100, "after": "1" * 60 + "0" * 40, "merged": "0" * wrong + "1" * (60 - wrong) + "0" * 40}
    form = {"merge.quantization": base if base != "plain" else "none", "merge.dtype": "float32"}
    before = {f"{name}_before": value for name, value in form.items()}
    return replace(made, metrics={**made.metrics, **found}, items=items, resolved={**made.resolved, **form, **before})


def refused(**settings: Any) -> RunRecord:
    """A merge that transformers does not do."""
    failure = Failure(phase="merge", message="merging is refused: ValueError: You need to first quantize your model")
    made = merged(base="plain", way="dequantized", **settings)
    return replace(made, status=Status.UNSUPPORTED, failure=failure)


def table(number: int, *records: RunRecord) -> Any:
    return tables(cases_of(*records))[number]


def test_merged_stands_beside_unmerged_and_base() -> None:
    """Accuracies are paired by item: 50 of 100 lost is worse than unmerged, the rest better than the base."""
    (row,) = table(2, merged(wrong=50)).rows

    assert row["against_unmerged"].value == pytest.approx(-0.5)
    assert row["against_unmerged"].high < 0
    assert (row["word_unmerged"].text, row["word_base"].text) == ("worse", "better")
    assert row["against_base"].value == pytest.approx(0.1)


def test_a_merge_that_loses_no_item_ties_with_the_unmerged_model() -> None:
    """All items answered alike: a tie, with no interval made up."""
    (row,) = table(2, merged(wrong=0)).rows

    assert (row["against_unmerged"].value, row["against_unmerged"].low) == (0, None)
    assert row["word_unmerged"].text == "tie"


@pytest.mark.parametrize("number", range(4))
def test_a_refused_merge_is_a_row_and_its_words_a_note(number: int) -> None:
    """In every table what was refused stands with how it ended, and below it why."""
    found = table(number, merged(), refused())

    endings = [cell.text for row in found.rows for cell in row.values()]
    assert len(found.rows) == 2
    assert "unsupported in merge" in endings
    assert any("You need to first quantize" in note for note in found.notes)


def test_held_before_and_after_is_what_was_read_back() -> None:
    """The form of the weights is the record's own, a plain one called by its dtype."""
    rows = table(3, merged("nf4"), merged("plain")).rows

    assert [(row["form_before"].text, row["form_after"].text) for row in rows] == [
        ("float32", "float32"), ("nf4", "nf4"),
    ]  # fmt: skip


def test_drift_has_its_first_and_its_last_round() -> None:
    """Only merges in rounds are in the table of drift, with the first round out of the raw series."""
    rounds = merged(way="repeated", merge_rounds=3)
    metrics, series = {**rounds.metrics, "merging.drift": 0.24}, {"merging.round_drift": (0.03, 0.1, 0.24)}
    drifting = replace(rounds, metrics=metrics, series={**rounds.series, **series})

    (row,) = table(4, merged(), drifting).rows
    (chart,) = [chart for chart in charts(cases_of(drifting)) if chart.key == "merging-drift"]

    assert (row["first_drift"].value, row["merging.drift"].value, row["rounds"].text) == (0.03, 0.24, "3")
    assert "24.0% after 3 rounds (nf4, LoRA r16" in chart.finding
    assert list(chart.figure["data"][0]["y"]) == pytest.approx([3, 10, 24])


def test_charts_say_what_the_numbers_say() -> None:
    """The findings name the bases and ways with the least and the most, in the words of their cells."""
    small, large = merged(), merged(kept=0.99, size=0.36, learning_rate=1e-2)
    plain = merged("plain", kept=1.0)

    kept, by_size, right = charts(cases_of(small, large, plain, merged("nf4", "dequantized", kept=1.0, wrong=5)))

    assert kept.finding == "Of the update, 0.400% is in the weights merged nf4 in place, 100% merged float32 in place."
    assert by_size.finding == (
        "Merged in place, nf4 keeps 0.400% of an update of 0.300% and 99.0% of an update of 36.0% of the weights."
    )
    assert [list(trace["x"]) for trace in by_size.figure["data"]] == [pytest.approx([0.3, 36])]
    assert "it is nf4 expanded, merged: 60% (50–69) of the test items right before, 55% (45–64) after" in right.finding
    assert len(kept.table.rows) == 3


def test_a_chart_claims_no_loss_where_there_is_none() -> None:
    """Where no merge lost an item, the finding says so, and names none as the worst."""
    (right,) = [chart for chart in charts(cases_of(merged(), merged("plain"))) if chart.key == "merging-right"]

    assert right.finding == "No merge answers fewer test items right than the unmerged model."


def test_other_questions_cases_are_left_alone() -> None:
    """A plain training is no merge: no rows, no charts."""
    others: list[Case] = cases_of(record(learning("lora")))

    assert [found.rows for found in tables(others)] == [(), (), (), (), ()]
    assert charts(others) == []


@pytest.mark.parametrize(
    ("value", "text"), [(7.5e-9, "7.50e-09"), (1.2e-4, "0.000120"), (0.0, "0"), (-3e-5, "-3.00e-05")]
)
def test_tiny_numbers_keep_their_digits(value: float, text: str) -> None:
    """A number too small for six decimals is written with a power of ten, not as 0."""
    assert shown(value, "1") == text
    assert shown(value / 100, "%") == f"{text}%"
