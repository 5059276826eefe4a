"""What an adapter costs per token, as tables and charts: ratios with intervals, refusals in sight, true findings."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.report.questions.inference import charts, tables
from bench.schema import Failure, RunRecord, Status
from bench.schema.metrics.inference import FIRST, LATER
from tests.records import cases_of, learning, record


def generated(state: str = "unmerged", slower: float = 1.5, method: str = "lora", **settings: Any) -> RunRecord:
    """A run that generated in six blocks of turns; a token of the base takes 0.1 s, its first 0.5 s."""
    study = {"study": "inference", "state": state, "evaluate_items": 0, "batch_size": 1}
    made = record(learning(method, **{**study, **settings}))
    sides = [slower if with_it else 1.0 for with_it in (True, False, False, True)] * 6
    series = {FIRST: tuple(0.5 * side for side in sides), LATER: tuple(0.1 * side for side in sides for _ in range(15))}
    found = {
        "inference.weights": 558_000_000, "inference.base_weights": 538_000_000, "inference.cache_bytes": 6_589_440,
        "inference.cache_formula": 6_589_440, "inference.logit_change": 0.7, "infer.peak_allocated": 570_000_000,
    }  # fmt: skip
    if state == "merged":
        found["inference.logit_error"] = 2e-6
    return replace(made, metrics={**made.metrics, **found}, series=series)


def refused() -> RunRecord:
    """A merge that peft does not do."""
    failure = Failure(phase="merge", message="merging is refused: ValueError: Cannot merge ia3 layers")
    return replace(generated("merged", base="nf4"), status=Status.UNSUPPORTED, failure=failure)


def test_a_slowdown_stands_with_its_interval_and_both_sides():
    """A token of 150 ms beside one of 100 ms is 1.5 times it, with the interval of six blocks."""
    (row,) = tables(cases_of(generated()))[0].rows

    assert row["inference.slowdown"].text == "1.50×"
    assert row["inference.slowdown"].low == pytest.approx(1.5)
    assert (row["inference.token_seconds"].text, row["inference.base_token_seconds"].text) == ("150 ms", "100 ms")
    assert row["work"].text == "1 × (128 + 16)"


def test_rows_say_what_generates():
    """A base alone has no adapter, a LoRA its rank and layers, and a DoRA whether it keeps its norms."""
    base, lora = generated("base", 1.0), generated(rank=64, targets="q_proj,v_proj")

    rows = tables(cases_of(base, lora))[0].rows

    assert [(row["state"].text, row["adapter"].text) for row in rows] == [
        ("base alone", "none"), ("unmerged", "LoRA r64, alpha 32 on q_proj,v_proj"),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(3))
def test_what_was_refused_is_a_row_and_its_words_a_note(number):
    """In every table what was refused stands with how it ended, and below it why."""
    found = tables(cases_of(generated("merged"), refused()))[number]

    assert "unsupported in merge" in [cell.text for row in found.rows for cell in row.values()]
    assert any("Cannot merge ia3" in note for note in found.notes)


def test_the_finding_names_most_least_and_the_check():
    """The chart of equal work names both ends, and what the base beside itself came out at."""
    cases = cases_of(generated("base", 1.01), generated(), generated("merged", 1.0), generated(batch_size=4))

    slow, speed = charts(cases)

    assert slow.finding == (
        "Generating 1 × (128 + 16) tokens, each takes 1.50× (float32 unmerged, LoRA r16, alpha 32 on all-linear) at "
        "most, 1.00× (float32 merged, LoRA r16, alpha 32 on all-linear) at least of the base's time. "
        "The base against itself: 1.01×."
    )
    assert list(slow.figure["data"][0]["x"]) == pytest.approx([1.01, 1.5, 1.0])
    assert speed.finding.startswith("float32 unmerged, LoRA r16, alpha 32 on all-linear: 5.33 tok/s of 8.00 tok/s at")
    assert len(speed.table.rows) == 2


def test_other_questions_cases_are_left_alone():
    """A plain training generates nothing in turns: no rows, no charts."""
    others = cases_of(record(learning("lora")))

    assert [found.rows for found in tables(others)] == [(), (), ()]
    assert charts(others) == []
