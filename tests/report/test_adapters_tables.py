"""What many adapters cost, as tables and charts: operations by count, refusals in words, findings from the numbers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.report.questions.adapters import charts, tables
from bench.schema import RunRecord
from bench.schema.metrics.adapters import TURNS, series_of
from tests.records import cases_of, learning, record


def crowd(count: int = 4, mixed: float = 2.0, method: str = "lora", **settings: Any) -> RunRecord:
    """A run with `count` adapters of 19.6 MB; one pass takes 0.1 s, a mixed one `mixed` times that."""
    study = {"study": "adapters", "count": count, "evaluate_items": 0, "batch_size": 8}
    made = record(learning(method, **{**study, **settings}))
    found = {
        "adapters.weights": 19_537_920 * count, "adapters.weights_each": 19_537_920, "adapters.file_bytes": 19_560_000,
        "adapters.base_weights": 538_060_032, "adapters.base_unchanged": 1.0, "adapters.reload_error": 0.0,
        "adapters.mixed_error": 1e-6, "adapters.mixed_change": 0.7,
    }  # fmt: skip
    sides = [0.1 * mixed if both else 0.1 for both in (True, False, False, True)] * 6
    taken = {"set": 0.002, "load": 0.3, "delete": 0.003, "save": 0.05, "swap": 0.02, "linear": 0.4}
    series = {
        TURNS: tuple(sides),
        **{series_of(name): (seconds, 2 * seconds, seconds) for name, seconds in taken.items()},
    }
    return replace(made, metrics={**made.metrics, **found}, series=series)


def test_operations_stand_in_milliseconds() -> None:
    """Medians of every operation, by base, adapter and how many there are."""
    (row,) = tables(cases_of(crowd()))[0].rows

    assert (row["adapter"].text, row["count"].text) == ("LoRA r16, alpha 32 on all-linear", "4")
    assert (row["adapters.set_seconds"].text, row["adapters.load_seconds"].text) == ("2.00 ms", "300 ms")


def test_a_mixed_batch_stands_with_its_interval_and_its_check() -> None:
    """Twice the time of one adapter, the interval of six blocks, and the error beside what the adapters differ by."""
    (row,) = tables(cases_of(crowd()))[2].rows

    assert row["adapters.mixed_slowdown"].text == "2.00×"
    assert row["adapters.mixed_slowdown"].low == pytest.approx(2)
    assert (row["adapters.mixed_error"].text, row["adapters.mixed_change"].text) == ("1.00e-06", "0.700")
    assert row["work"].text == "8 × 32"


def test_what_peft_does_not_do_is_a_note_in_its_words() -> None:
    """A DoRA without a mixed batch has its row, and below the table why."""
    made = crowd(method="lora")
    refused = crowd(2, targets="q_proj")
    series = {name: taken for name, taken in refused.series.items() if name != TURNS}
    words = "peft does not do it: ValueError: Cannot pass `adapter_names` when DoRA is enabled."
    absent = {**refused.absent, **{f"adapters.mixed_{what}": words for what in ("seconds", "slowdown")}}
    found = tables(cases_of(made, replace(refused, series=series, absent=absent)))[2]

    assert len(found.rows) == 2
    assert any("Cannot pass `adapter_names`" in note for note in found.notes)


def test_one_adapter_is_not_combined() -> None:
    """The table of combinations has models of several adapters only."""
    found = tables(cases_of(crowd(1), crowd(4)))[1]

    assert [row["count"].text for row in found.rows] == ["4"]


def test_charts_follow_the_number_of_adapters() -> None:
    """Points are in the order of counts, and the finding names both ends."""
    time, memory = charts(cases_of(*(crowd(n, mixed=1 + n / 4) for n in (8, 1, 2))))

    assert list(time.figure["data"][0]["x"]) == [1, 2, 8]
    assert "from 1 to 8 adapters: load 300 ms to 300 ms" in time.finding
    assert "mixed batch 125 ms to 300 ms" in time.finding
    assert "all adapters 18.6 MiB to 149 MiB" in memory.finding


def test_other_questions_cases_are_left_alone() -> None:
    """A plain training holds one adapter and changes none: no rows, no charts."""
    others = cases_of(record(learning("lora")))

    assert [found.rows for found in tables(others)] == [(), (), (), ()]
    assert charts(others) == []
