"""The guide's standard flow for real, on a tiny model: what its line says, that it learns, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.values import value
from bench.schema import RunConfig, RunRecord, Status
from bench.worker.logbook import Logbook
from bench.worker.main import recorded

Flow = Callable[..., RunRecord]


@pytest.fixture
def flowing(tiny_cache: Path, tiny_config: Callable[..., RunConfig], tmp_path: Path) -> Flow:
    """Run the flow on a tiny model with changes; returns the record."""

    def flow(method: str = "qlora", **settings: Any) -> RunRecord:
        made = {"study": "standard_flow", "optimizer": "adamw_8bit", "steps": 4, "batch_size": 2,
                "gradient_accumulation_steps": 2, "train_examples": 16, "evaluate_items": 3}  # fmt: skip
        return recorded(Logbook(tiny_config(method, **{**made, **settings}), tmp_path / "phase"))

    return flow


def test_the_line_says_what_is_counted_off_the_model(flowing):
    """The printed numbers are ours, 4-bit weights included, and the line is kept as peft prints it."""
    record = flowing()

    assert record.status is Status.OK, record.failure
    found = record.metrics
    assert (found["flow.trainable"], found["flow.total"]) == (found["parameters.trainable"], found["parameters.total"])
    assert record.resolved["flow.line"].startswith(f"trainable params: {found['flow.trainable']:,} || all params: ")


def test_the_trainer_makes_the_steps_asked_for_and_learns(flowing):
    """One loss for every step, falling at a high rate; both tests are scored; nothing is left of the output folder."""
    record = flowing(steps=30, learning_rate=1e-2, train_examples=4)

    assert len(record.series["step.loss"]) == 30
    assert value(record, "train.loss_last") < 0.9 * value(record, "train.loss_first")
    assert {name: len(bits) for name, bits in record.items.items()} == {"before": 3, "after": 3}
    assert record.metrics["paging.state_bytes"] > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "paged_adamw_8bit"}, "need a CUDA GPU"),
        ({"optimizer": "lion_8bit"}, "does not know the optimizer 'lion_8bit'"),
        ({"method": "full"}, "has no adapter"),
    ],
)
def test_what_cannot_be_done_here_is_unsupported_in_its_own_words(flowing, settings, words):
    """As written the flow needs managed memory, so a GPU; what stops it is the record's reason."""
    record = flowing(**settings)

    assert record.status is Status.UNSUPPORTED
    assert record.failure is not None
    assert words in record.failure.message
