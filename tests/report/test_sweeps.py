"""Sweeps as tables and charts: every case beside its reference, ties as ties, refusals in sight."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.report.questions import QUESTIONS
from bench.schema import Failure, RunRecord, Status
from tests.records import cases_of, fixed_shape, learning, predicted, record

ITEMS = 100
SWEPT: dict[str, list[dict[str, Any]]] = {
    "rank": [{"rank": 16, "alpha": 32}, {"rank": 64, "alpha": 128}],
    "targets": [{"targets": "all-linear"}, {"targets": "query-value"}],
    "learning_rate": [{"learning_rate": 2e-4}, {"learning_rate": 5e-3}],
    "optimizers": [{"optimizer": "adamw_fused"}, {"optimizer": "lion_8bit", "learning_rate": 4e-5}],
    "variants": [{}, {"method": "dora"}],
}
"""By question: the settings of its reference, and of another case."""
TIMED = [name for name in SWEPT if name != "learning_rate"]


def scored(right: int, **settings: Any) -> RunRecord:
    """A training after which the first `right` of a hundred items are right."""
    method = settings.pop("method", "lora")
    made = record(learning("lora", evaluate_items=ITEMS, **settings))
    after = "1" * right + "0" * (ITEMS - right)
    return replace(made, config=made.config.but(method=method), items={"before": "0" * ITEMS, "after": after})


def timed(seconds: float, peak: int, **settings: Any) -> RunRecord:
    """A training on fixed shapes, all of whose steps take as long."""
    method = settings.pop("method", "lora")
    made = record(fixed_shape("lora", **settings))
    steps = (seconds,) * made.config.steps
    return replace(
        made,
        config=made.config.but(method=method),
        metrics={**made.metrics, "train.timed_seconds": seconds * 8, "train.peak_allocated": peak},
        series={**made.series, "step.seconds": steps},
    )


def table_of(name: str, title: str, *records: RunRecord) -> Any:
    return next(found for found in QUESTIONS[name].tables(cases_of(*records)) if title in found.title)


def charts_of(name: str, *records: RunRecord) -> list[Any]:
    return QUESTIONS[name].charts(cases_of(*records))


@pytest.mark.parametrize("name", SWEPT)
def test_what_is_learned_stands_beside_the_reference(name: str) -> None:
    """The reference is called so, and 30 items fewer are 30 points worse with an interval below 0."""
    reference, other = SWEPT[name]

    rows = table_of(name, "give", scored(60, **reference), scored(30, **other)).rows

    by_word = {row["word"].text: row for row in rows}
    assert by_word["worse"]["beside"].value == pytest.approx(-0.3)
    assert by_word["worse"]["beside"].high < 0
    assert by_word["reference"]["evaluate.accuracy"].value == pytest.approx(0.6)


@pytest.mark.parametrize("name", SWEPT)
def test_a_small_difference_is_a_tie(name: str) -> None:
    """One item more of a hundred is no finding: the table says tie and the chart tells them not apart."""
    reference, other = SWEPT[name]
    records = scored(60, **reference), scored(61, **other)

    words = {row["word"].text for row in table_of(name, "give", *records).rows}
    (right,) = [chart for chart in charts_of(name, *records) if "items right" in chart.finding]

    assert words == {"reference", "tie"}
    assert "not told apart from it" in right.finding


@pytest.mark.parametrize("name", TIMED)
def test_costs_are_ratios_to_the_reference(name: str) -> None:
    """Twice the seconds a step are half the tokens a second, and three times the bytes are 3."""
    reference, other = SWEPT[name]
    records = timed(1.0, 100, **reference), timed(2.0, 300, **other)

    rows = [row for row in table_of(name, "cost", *records).rows if row["speed"].is_number]
    (chart,) = [chart for chart in charts_of(name, *records) if chart.key.endswith("cost")]

    assert [row["speed"].value for row in rows] == [pytest.approx(0.5)]
    assert [row["tensors"].value for row in rows] == [pytest.approx(3)]
    assert sorted(y for trace in chart.figure["data"] for y in trace["y"]) == pytest.approx([0.5, 1, 1, 3])


@pytest.mark.parametrize("name", SWEPT)
def test_a_refused_case_is_a_row_and_its_words_a_note(name: str) -> None:
    """What a library refuses is in the table with how it ended, and below it why."""
    reference, other = SWEPT[name]
    refused = replace(
        scored(60, **other), status=Status.UNSUPPORTED, failure=Failure(phase="load", message="peft refuses: no"),
        items={}, metrics={}, series={},
    )  # fmt: skip

    found = table_of(name, "give", scored(60, **reference), refused)

    assert any(cell.text == "unsupported in load" for row in found.rows for cell in row.values())
    assert any("peft refuses: no" in note for note in found.notes)


@pytest.mark.parametrize("name", SWEPT)
def test_unequal_work_is_not_compared(name: str) -> None:
    """Cases of another number of steps are no sweep with these: each alone has nothing to be compared with."""
    reference, other = SWEPT[name]

    assert table_of(name, "give", scored(60, **reference), scored(60, steps=7, **other)).rows == ()


@pytest.mark.parametrize(("name", "other"), [("optimizers", {"optimizer": "adamw"}), ("variants", {"method": "dora"})])
def test_rates_that_another_question_tried_are_no_rows_and_no_reference(name: str, other: dict[str, Any]) -> None:
    """Of a reference trained at many rates the one that others share is held against them, whatever came last."""
    rates = [scored(right, learning_rate=rate) for right, rate in ((5, 1e-5), (60, 2e-4), (0, 5e-2))]
    rows = table_of(name, "give", *rates, scored(60, learning_rate=2e-4, **other)).rows
    found = sorted((row["trained"].text.rpartition(" ")[2], row["word"].text) for row in rows)
    assert found == [("0.0002", "reference"), ("0.0002", "tie")]


def test_without_the_reference_nothing_is_claimed() -> None:
    """Two ranks without the guide's 16 are shown, and beside nothing."""
    rows = table_of("rank", "gives", scored(60, rank=4, alpha=8), scored(50, rank=8, alpha=16)).rows

    assert [row["beside"].value for row in rows] == [None, None]
    assert {row["word"].text for row in rows} == {""}


def test_cases_matched_in_parameters_show_the_rank_that_was_built() -> None:
    """The rank a matched case shows is read back from the model, not the one it was asked to match."""
    matched = scored(60, targets="query-value", as_many_as="all-linear")
    built = replace(matched, resolved={**matched.resolved, "adapter.rank": 87, "adapter.targets": "q_proj, v_proj"})

    rows = table_of("targets", "give", scored(60), built).rows

    assert [row["rank"].text for row in rows if "as many as" in row["targets"].text] == ["87"]


def test_trainings_that_diverged_are_counted() -> None:
    """A training whose loss ends above where it began is one of one; a steady one is none."""
    steady, lost = scored(60, learning_rate=2e-4), scored(0, learning_rate=5e-2)
    lost = replace(lost, series={**lost.series, "step.loss": tuple(float(n) for n in range(60))})

    rows = table_of("learning_rate", "steadily", steady, lost).rows

    assert [row["diverged"].text for row in rows] == ["0 of 1", "1 of 1"]


def test_optimizers_keep_bytes_for_every_trained_parameter() -> None:
    """AdamW's two moments in float32 are 8 bytes each for what it trains."""
    made = timed(1.0, 100)
    trained = made.metrics["parameters.trainable"]
    made = replace(made, metrics={**made.metrics, "paging.state_bytes": 8 * trained})

    rows = table_of("optimizers", "keep", made, timed(1.0, 90, optimizer="adamw_8bit")).rows

    assert rows[0]["bytes"].value == 8


def test_sizes_show_runs_and_predictions_apart() -> None:
    """Every model's methods are beside that model's Full, and predicted rows are called predicted."""
    measured = [record(fixed_shape(method)) for method in ("full", "lora", "qlora")]
    large = {"model": "smollm2-1.7b", "device": "fake:l40s"}
    others = [predicted(fixed_shape(method, **large)) for method in ("full", "lora")]
    others = [replace(made, metrics={**made.metrics, "parameters.total": 1_711_376_384}) for made in others]

    found = table_of("sizes", "grows", *measured, *others)
    (chart,) = charts_of("sizes", *measured, *others)

    assert sorted({row["kind"].text for row in found.rows}) == ["measured", "predicted"]
    assert len(found.rows) == 5
    assert "on the largest model: SmolLM2-1.7B-Instruct Full, predicted" in chart.finding


def test_two_rates_of_one_optimizer_are_no_sweep_of_optimizers() -> None:
    """A rate may differ between optimisers, but alone it is another question's: one optimiser is not compared."""
    records = scored(60, learning_rate=2e-4), scored(30, learning_rate=5e-3)

    assert table_of("optimizers", "give", *records).rows == ()


@pytest.mark.parametrize("name", SWEPT)
def test_predicted_lessons_are_shown_without_what_is_learned(name: str) -> None:
    """On a simulated GPU nothing is scored: the tables stand, and beside the reference there is nothing."""
    records = [predicted(scored(60, **settings).config.but(method="lora")) for settings in SWEPT[name]]

    found = QUESTIONS[name].tables(cases_of(*records))

    assert [row["beside"].text for table in found for row in table.rows if "beside" in row] in ([], ["-"] * 2)
