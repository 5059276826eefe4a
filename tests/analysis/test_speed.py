"""Speeds are what METRICS says, on records small enough to check by hand; a missing one says why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench.analysis.values import NOT_ASKED, reason, value
from bench.schema import RunRecord
from bench.schema.metrics import METRICS
from tests.records import fixed_shape, record

SERIES = {
    "step.seconds": (90.0, 50.0, 2.0, 4.0),
    "step.tokens_all": (512, 512, 400, 800),
    "step.tokens_real": (1, 1, 100, 500),
    "step.tokens_trained": (1, 1, 20, 40),
    "step.flops": (7, 7, 6_000, 18_000),
}
"""Two untimed steps and two timed ones of 6 s together, with 600 real tokens and 24,000 FLOPs."""


def made(
    config: dict[str, Any] | None = None,
    series: dict[str, tuple[float | None, ...]] | None = None,
    absent: dict[str, str] | None = None,
    resolved: dict[str, Any] | None = None,
    **metrics: float,
) -> RunRecord:
    """A GPU's record with SERIES, and metrics written with __ for the dot."""
    blank = record(fixed_shape("lora", **{"device": "cuda", "steps": 4, "untimed_steps": 2, **(config or {})}))
    return replace(
        blank,
        series=SERIES if series is None else series,
        metrics={name.replace("__", "."): number for name, number in metrics.items()},
        absent=absent or {},
        resolved=resolved or {},
    )


@pytest.mark.parametrize(
    ("name", "per_second"),
    [
        ("train.tokens_per_second", 600),
        ("train.all_tokens_per_second", 1200),
        ("train.trained_tokens_per_second", 60),
        ("train.flops_per_second", 24_000),
    ],
)
def test_speeds_are_sums_over_the_wall_time_of_timed_steps(name: str, per_second: float) -> None:
    """Over the block's wall time where it was measured, else, as in old records, over the sum of its steps."""
    assert value(made(), name) == per_second / 6
    assert value(made(train__timed_seconds=8.0), name) == per_second / 8


def test_a_run_that_died_while_timed_uses_the_steps_it_made() -> None:
    """Without a block, tokens count only where seconds are known, and the other way round."""
    died = made(series={"step.seconds": (9.0, 9.0, 2.0), "step.tokens_real": (1, 1, 100, 500)})
    holed = made(series={"step.seconds": (9.0, 9.0, None, 4.0), "step.tokens_real": (1, 1, 100, 500)})
    untold = made(series={"step.seconds": (9.0, 9.0, 2.0, 4.0), "step.flops": (1, 1, 100, None)})

    assert value(died, "train.tokens_per_second") == 50
    assert value(holed, "train.tokens_per_second") == 125
    assert value(untold, "train.flops_per_second") == 50


def test_a_block_without_tokens_has_no_speed() -> None:
    """Wall time alone is no speed of 0."""
    assert value(made(series={}, train__timed_seconds=8.0), "train.tokens_per_second") is None
    assert value(made(train__timed_seconds=0.0), "train.tokens_per_second") is None


@given(st.lists(st.floats(1e-3, 1e3), min_size=20, max_size=60))
def test_the_95th_percentile_is_numpys(seconds: list[float]) -> None:
    """Linear interpolation between the timed steps; the untimed ones, however slow, do not enter."""
    run = made({"steps": len(seconds) + 2}, {"step.seconds": (1e6, 1e6, *seconds)})

    assert value(run, "train.step_seconds_p95") == pytest.approx(np.percentile(seconds, 95))


def test_too_few_steps_have_no_95th_percentile() -> None:
    """Nineteen steps are too few, and the reason says so."""
    run = made({"steps": 21}, {"step.seconds": (1.0,) * 21})

    assert value(run, "train.step_seconds_p95") is None
    assert reason(run, "train.step_seconds_p95") == "fewer than 20 steps were timed"
    assert value(made({"steps": 22}, {"step.seconds": (1.0,) * 22}), "train.step_seconds_p95") == 1.0


def test_utilisation_against_three_ceilings() -> None:
    """4,000 FLOP/s over the datasheet's, over the datasheet's at three quarters of its clock, over the faster GEMM."""
    run = made(
        resolved={"device.peak_flops": 16_000.0, "device.boost_clock": 2_000_000_000},
        train__sm_clock=1_500_000_000,
        canary__gemm_before=5_000.0,
        canary__gemm_after=8_000.0,
    )

    assert value(run, "train.mfu") == 4_000 / 16_000
    assert value(run, "train.mfu_at_clock") == pytest.approx(4_000 / 12_000)
    assert value(run, "train.mfu_against_gemm") == 4_000 / 8_000


def test_one_canary_is_a_ceiling_too() -> None:
    """A run whose second canary did not come is set against the first."""
    assert value(made(canary__gemm_before=8_000.0), "train.mfu_against_gemm") == 0.5


@pytest.mark.parametrize(
    ("name", "run", "why"),
    [
        ("train.mfu", made(), "no datasheet peak is known for this device in this dtype"),
        ("train.mfu", made(resolved={"device.peak_flops": 0}), "no datasheet peak is known"),
        ("train.mfu", made(resolved={"device.peak_flops": "unknown"}), "no datasheet peak is known"),
        ("train.mfu", made(absent={"train.mfu": "a card of two kinds"}), "a card of two kinds"),
        ("train.mfu_at_clock", made(), "no datasheet peak is known"),
        ("train.mfu_at_clock", made(absent={"train.mfu": "a card of two kinds"}), "a card of two kinds"),
        ("train.mfu_at_clock", made(resolved={"device.peak_flops": 9}), "the clock was not read"),
        (
            "train.mfu_at_clock",
            made(resolved={"device.peak_flops": 9}, absent={"train.sm_clock": "no NVML"}),
            "no NVML",
        ),
        (
            "train.mfu_at_clock",
            made(resolved={"device.peak_flops": 9}, train__sm_clock=5),
            "datasheet's peak stands for",
        ),
        ("train.mfu_against_gemm", made(), "no canary GEMM ran beside this run"),
        ("train.mfu_against_gemm", made(absent={"canary.gemm_before": "no memory"}), "no memory"),
        ("train.power", made(absent={"train.energy": "no counter"}), "no counter"),
        ("train.energy_per_token", made(absent={"train.energy": "no counter"}), "no counter"),
        ("train.power", made(), NOT_ASKED),
        ("train.step_seconds", made({"steps": 2}, {"step.seconds": (1.0, 1.0)}), "no step was timed"),
        ("train.flops_per_second", made({"steps": 2}, {"step.seconds": (1.0, 1.0)}), "no step was timed"),
        ("train.mfu", made(series={}), NOT_ASKED),
        ("infer.tokens_per_second", made(), NOT_ASKED),
        ("infer.tokens_per_second", made(series={"infer.seconds": (1.0,), "infer.tokens": (9,)}), "only the sequence"),
    ],
)
def test_a_missing_speed_says_why(name: str, run: RunRecord, why: str) -> None:
    """What is missing for a number is named, with the run's own words where it has them."""
    assert value(run, name) is None
    assert why in reason(run, name)


@pytest.mark.parametrize(
    "name", ["train.flops_per_second", "train.mfu", "train.mfu_at_clock", "train.mfu_against_gemm"]
)
def test_uncounted_flops_are_the_reason_of_all_their_shares(name: str) -> None:
    """A model whose FLOPs are unknown has no share of anything, whatever ceilings are known."""
    known = {"device.peak_flops": 9.0, "device.boost_clock": 9.0}
    without = {series: numbers for series, numbers in SERIES.items() if series != "step.flops"}
    run = made(series=without, absent={"train.flops_per_second": "routed experts"}, resolved=known, train__sm_clock=3)

    assert value(run, name) is None
    assert reason(run, name) == "routed experts"


def test_energy_is_shared_among_real_tokens_and_wall_seconds() -> None:
    """1,200 J over 600 tokens that are no padding, and over the block's 8 s or the steps' 6 s."""
    assert value(made(train__energy=1_200.0), "train.energy_per_token") == 2.0
    assert value(made(train__energy=1_200.0, train__timed_seconds=8.0), "train.power") == 150.0
    assert value(made(train__energy=1_200.0), "train.power") == 200.0


def test_a_measured_energy_of_zero_is_zero() -> None:
    """0 J was measured; it is not absent."""
    assert value(made(train__energy=0), "train.power") == 0.0


def test_inference_leaves_the_warming_sequence_out() -> None:
    """The first of the sequences warms up and is in no speed."""
    run = made(series={"infer.seconds": (60.0, 2.0, 3.0), "infer.tokens": (20, 20, 20)})

    assert value(run, "infer.tokens_per_second") == 8.0


TRAINING = sorted(
    name for name, metric in METRICS.items() if metric.raw not in (None, "step.loss") and name.startswith("train.")
)


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize(
    ("changes", "why"),
    [({"uvm_counters": True}, "counters were attached"), ({"paging": "prefetch"}, "in turns; paging.stall")],
)
def test_a_run_whose_steps_were_tampered_with_gives_no_headline(name: str, changes: dict[str, Any], why: str) -> None:
    """Attached counters, and state sent away before steps, leave raw numbers in the record but no speed."""
    settings = {"device.peak_flops": 16_000.0, "device.boost_clock": 2e9}
    numbers = {"train__sm_clock": 1e9, "canary__gemm_before": 5e3, "train__energy": 9.0, "train__timed_seconds": 8.0}
    longer = {name: (*numbers, *numbers[2:] * 9) for name, numbers in SERIES.items()}
    plain = made({"steps": 22}, longer, resolved=settings, **numbers)
    tampered = replace(plain, config=plain.config.but(**changes))

    found = value(plain, name)
    assert found is not None
    assert math.isfinite(found)
    assert value(tampered, name) is None
    assert why in reason(tampered, name)


def test_what_is_no_speed_has_reasons_of_its_own() -> None:
    """Attached counters explain a missing speed, not a missing peak or loss."""
    run = made({"uvm_counters": True})

    assert reason(run, "train.peak_allocated") == NOT_ASKED
    assert reason(run, "train.loss_last") == NOT_ASKED


def test_speeds_of_generation_survive_paged_training() -> None:
    """Only the training steps were tampered with."""
    run = made({"paging": "fault"}, {"infer.seconds": (9.0, 2.0), "infer.tokens": (20, 20)})

    assert value(run, "infer.tokens_per_second") == 10.0
