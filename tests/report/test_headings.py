"""Rows that differ say in what, and columns that tell nothing apart stay out of short tables."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.report.headings import APART, heading, headings
from bench.schema import RunRecord
from bench.schema.protocols import PROTOCOLS
from tests.records import cases_of, counted, fixed_shape, on_gpu, paged, record


def shown(*runs: RunRecord) -> list[str]:
    return [column.key for column in headings(cases_of(*runs)) if not column.detail]


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        (record(fixed_shape("lora")), []),
        (record(fixed_shape("full", model="tiny-llama")), ["model"]),
        (record(fixed_shape("full", task="dates")), ["task"]),
        (on_gpu(fixed_shape("full")), ["device"]),
        (record(fixed_shape("full", dtype="bfloat16")), ["dtype"]),
        (record(fixed_shape("full", gradient_checkpointing=True)), ["checkpointing"]),
        (paged(), ["optimizer", "paging"]),
        (record(fixed_shape("lora", dropout=0.0)), ["options"]),
        (record(fixed_shape("full", protocol=PROTOCOLS["peft-metamath"].settings["protocol"])), ["loop"]),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_what_differs_is_a_column(other: RunRecord, apart: list[str]) -> None:
    """One differing setting brings its column and no other; wide tables have them all."""
    assert shown(record(fixed_shape("full")), other) == ["method", "kind", "work", *apart]
    assert set(APART) < {column.key for column in headings(cases_of(other))}


def test_options_that_are_no_default_are_said() -> None:
    """Each by its name, the rank excepted, which stands beside the method; of an unknown method all."""
    made = record(fixed_shape("lora", dropout=0.0, targets="q_proj,v_proj", rank=8))
    newer = replace(made, config=replace(made.config, method="nextlora", options={"extra": 1}))
    said = [heading(cases_of(one)[0])["options"].text for one in (made, newer, record(fixed_shape("lora")))]
    assert said == ["dropout 0.0, targets q_proj,v_proj", "extra 1", ""]


def test_how_state_is_kept_away_is_said() -> None:
    """None, or the path with its fraction, and whether counters were attached."""
    said = [
        heading(cases_of(made)[0])["paging"].text
        for made in (record(fixed_shape("full")), paged("fault", 0.5), counted())
    ]
    assert said == ["none", "fault 50%", "fault 100%, counted"]
