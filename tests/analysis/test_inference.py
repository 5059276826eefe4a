"""Speeds of generation are read off the turns they belong to, and slowdowns off neighbours."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bench.analysis.cases import estimate
from bench.analysis.inference import INFERENCE, SLOWDOWN
from bench.analysis.values import value
from bench.schema import RunRecord
from bench.schema.metrics.inference import FIRST, LATER
from tests.records import cases_of, learning, record


def generated(first: Any, later: Any, **settings: Any) -> RunRecord:
    """A run whose turns took these seconds."""
    made = record(learning("lora", **{"study": "inference", "evaluate_items": 0, "batch_size": 2, **settings}))
    return replace(made, series={**made.series, FIRST: tuple(first), LATER: tuple(later)})


def test_turns_by_hand():
    """With the adapter first tokens of 3 and 5 s, without 1 and 2; further tokens twice as slow with it."""
    found = generated([3.0, 1.0, 2.0, 5.0], [0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.4, 0.4])

    assert value(found, "inference.first_token_seconds") == 4
    assert value(found, "inference.base_first_token_seconds") == 1.5
    assert value(found, "inference.token_seconds") == pytest.approx(0.4)
    assert value(found, "inference.base_token_seconds") == pytest.approx(0.2)
    assert value(found, "inference.slowdown") == pytest.approx(2)
    assert value(found, "inference.first_token_slowdown") == pytest.approx((15 / 2) ** 0.5)


def test_speed_counts_every_sequence_and_the_prompt():
    """Two sequences of three tokens in turns of 3 + 0.5 + 0.5 s: 1.5 tokens a second; without, in 1.2 s, 5."""
    found = generated([3.0, 1.0, 1.0, 3.0], [0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.5, 0.5])

    assert value(found, "inference.tokens_per_second") == pytest.approx(1.5)
    assert value(found, "inference.base_tokens_per_second") == pytest.approx(5)


def test_one_slow_token_does_not_slow_a_turn():
    """A turn's token is its median one."""
    found = generated([1.0] * 4, [0.2, 0.2, 9.0] * 4)

    assert value(found, "inference.token_seconds") == pytest.approx(0.2)


def test_a_case_has_the_interval_of_all_its_runs():
    """Two runs of three blocks each have the interval that six blocks allow; one of them has none."""
    runs = [generated([2.0, 1.0, 1.0, 2.0] * 3, [0.3, 0.2, 0.2, 0.3] * 3, seed=seed) for seed in range(2)]

    (alone,), (both,) = cases_of(runs[0]), cases_of(*runs)

    assert estimate(alone, "inference.slowdown").low is None
    assert estimate(both, "inference.slowdown").low == pytest.approx(1.5)
    assert "6 blocks" in estimate(both, "inference.slowdown").how


def test_other_runs_have_none_of_it():
    """A training has no turns: every number is absent, and so is every ratio."""
    other = record(learning("lora"))

    assert [value(other, name) for name in INFERENCE] == [None] * len(INFERENCE)
    assert [of_runs([other]) for of_runs in SLOWDOWN.values()] == [None, None]


def test_a_turn_that_was_not_finite_takes_its_block_with_it():
    """Four turns of which one has no number give no speed."""
    found = generated([3.0, None, 2.0, 5.0], [0.4] * 4)

    assert value(found, "inference.first_token_seconds") is None
    assert value(found, "inference.tokens_per_second") is None
