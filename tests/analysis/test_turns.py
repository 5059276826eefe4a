"""The two steps behind a stall are those the stall is the difference of."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.analysis.stall import stall
from bench.analysis.turns import TURNS, turn_seconds
from tests.records import counted, fixed_shape, paged, record


def test_cold_minus_resident_is_the_stall() -> None:
    """In one run the two medians differ by the stall, also where steps are left over after the last block."""
    for steps in (26, 28):
        made = paged("fault", 0.5, steps=steps)
        cold, resident, found = turn_seconds(made, cold=True), turn_seconds(made, cold=False), stall(made)
        assert None not in (cold, resident, found)
        assert cold - resident == pytest.approx(found.value)  # type: ignore[operator, union-attr]
        assert resident < cold  # type: ignore[operator]


def test_a_run_without_a_stall_has_no_turns() -> None:
    """Not where nothing was moved, not with counters attached, not where a step's order is wrong."""
    wrong = paged()
    wrong = replace(wrong, series={**wrong.series, "step.chilled_bytes": (1,) * wrong.config.steps})
    for made in (record(fixed_shape("full")), counted(), wrong):
        assert [read(made) for read in TURNS.values()] == [None, None]
