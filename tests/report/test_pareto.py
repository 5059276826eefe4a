"""Accuracy against memory: every training of one task on one device, and those that nothing beats on both."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.report.pareto import FEWEST, GIB, pareto
from bench.schema import RunRecord
from tests.records import cases_of, learning, record

DEVICE, MODEL = "example-cpu-2-cores", "smollm2-135m"


def trained(rank: int, right: int, gib: float, **changes: Any) -> RunRecord:
    """A training of a rank with so many of 200 items right, and a peak of so many GiB."""
    made = record(learning("lora", rank=rank))
    metrics = {**made.metrics, "train.peak_allocated": int(gib * GIB)}
    return replace(made, items={"before": "0" * 200, "after": "1" * right + "0" * (200 - right)},
                   **{"metrics": metrics, **changes})  # fmt: skip


MANY = [(1, 100, 1.0), (2, 90, 1.5), (4, 150, 2.0), (8, 150, 2.5), (16, 180, 3.0)]


def test_the_line_joins_what_is_beaten_by_none() -> None:
    """Cheaper and better beats; equal accuracy at more memory is beaten; the line goes through the rest."""
    chart = pareto(cases_of(*(trained(*one) for one in MANY)), DEVICE, MODEL, "x")
    assert chart is not None
    *points, line = chart.figure["data"]
    assert list(zip(line["x"], line["y"], strict=True)) == [(1.0, 50), (2.0, 75), (3.0, 90)]
    assert sum(len(trace["x"]) for trace in points) == len(MANY)
    kept = {row["case"].text.partition(",")[0] for row in chart.table.rows if row["frontier"].text == "yes"}
    assert kept == {"LoRA r1", "LoRA r4", "LoRA r16"}
    assert "Of 5 trainings, 3 are beaten by none on both" in chart.finding


def test_other_devices_models_and_items_are_not_compared() -> None:
    """Only trainings on the same device, model, task and number of items share the chart."""
    strange = trained(32, 200, 0.1, device="another")
    fewer = replace(trained(64, 200, 0.1), config=learning("lora", rank=64, evaluate_items=50))
    chart = pareto(cases_of(*(trained(*one) for one in MANY), strange, fewer), DEVICE, MODEL, "x")
    assert chart is not None
    assert len(chart.table.rows) == len(MANY)


def test_memory_is_of_one_sort() -> None:
    """Where too few hold tensor memory the process's is drawn for all, never a mixture."""

    def without(made: RunRecord) -> RunRecord:
        kept = {name: number for name, number in made.metrics.items() if name != "train.peak_allocated"}
        return replace(made, metrics=kept)

    chart = pareto(cases_of(trained(*MANY[0]), *(without(trained(*one)) for one in MANY[1:])), DEVICE, MODEL, "x")
    assert chart is not None
    assert "peak process memory" in chart.figure["layout"]["xaxis"]["title"]["text"]
    assert len(chart.table.rows) == len(MANY)


@pytest.mark.parametrize("count", range(FEWEST))
def test_a_few_trainings_make_no_frontier(count: int) -> None:
    """Below five a table says more."""
    assert pareto(cases_of(*(trained(*one) for one in MANY[:count])), DEVICE, MODEL, "x") is None
