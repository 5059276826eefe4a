"""Every metric is shown in a unit for people: prefixes, percent, whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.display import COUNTS, SHARES, base_unit, shown, unit_of
from bench.schema.metrics import METRICS

PLAIN = {"train.loss_first", "train.loss_last", "train.neighbour_cores", "train.stolen_cores"}
PLAIN |= {f"merging.perplexity_{model}" for model in ("base", "unmerged", "merged")} | {"merging.weight_error_largest"}
PLAIN |= {f"merging.{what}{end}" for what in ("kl", "logit_difference") for end in ("", "_of_base", "_from_base")}
PLAIN |= {"inference.logit_change", "inference.logit_error"}
PLAIN |= {"train.loss_rise"}
PLAIN |= {f"adapters.{what}" for what in ("mixed_error", "mixed_change", "reload_error", "swap_error")}
PLAIN |= {f"quantization.{what}" for what in ("perplexity_before", "perplexity", "kl", "logit_difference")}
PLAIN |= {
    f"quantization.{data}{grid}{error}"
    for data in ("", "normal_") for grid in ("", "uniform_") for error in ("rmse", "mae", "mse")
}  # fmt: skip
PREFIXES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


@pytest.mark.parametrize(
    ("value", "unit", "low", "high", "text"),
    [
        (312e12, "FLOP/s", None, None, "312 TFLOP/s"),
        (1.25e15, "FLOP/s", None, None, "1.25 PFLOP/s"),
        (48.1e9, "FLOP/s", 47.6e9, 48.6e9, "48.1 GFLOP/s (47.6–48.6)"),
        (950e9, "FLOP/s", 900e9, 1010e9, "950 GFLOP/s (900–1,010)"),
        (5.7e9, "FLOP", None, None, "5.70 GFLOP"),
        (25.2e9, "B/s", None, None, "25.2 GB/s"),
        (512e6, "B/s", None, None, "512 MB/s"),
        (20, "B/s", None, None, "20.0 B/s"),
        (1_980_000_000, "Hz", None, None, "1.98 GHz"),
        (210_000_000, "Hz", None, None, "210 MHz"),
        (61, "Cel", None, None, "61.0 °C"),
        (0.0, "Cel", None, None, "0 °C"),
        (12_345.6, "J", None, None, "12,346 J"),
        (0.0523, "J/tok", None, None, "0.0523 J/tok"),
        (287.4, "W", 280.0, 295.0, "287 W (280–295)"),
        (0.4312, "%", None, None, "43.1%"),
        (-3 * 2**20, "B", None, None, "-3.00 MiB"),
        (-0.0021, "s", None, None, "-2.10 ms"),
        (76_800.0, "count", None, None, "76,800"),
        (76_801.5, "count", 76_790.2, 76_812.8, "76,802 (76,790–76,813)"),
        (3.4, "count", 3.1, 3.4, "3"),
        (2.0, "count", 2.0, 2.0, "2"),
        (1.0, "count", 0.0, float("inf"), "1"),
    ],
)
def test_units_for_people(value: float, unit: str, low: float | None, high: float | None, text: str) -> None:
    """Prefixes of 1024 for bytes and of 1000 for the rest; shares in percent; counts whole, with their interval."""
    assert shown(value, unit, low, high) == text


@given(st.floats(1e-2, 9e17), st.sampled_from(["FLOP", "FLOP/s", "B/s", "Hz"]))
def test_a_prefix_keeps_the_value(value: float, unit: str) -> None:
    """What is read back, prefix and all, is the value to three digits; no number above a thousand lacks a prefix."""
    digits, name = shown(value, unit).split(" ")
    number = float(digits.replace(",", ""))

    assert number * PREFIXES[name.removesuffix(unit)] == pytest.approx(value, rel=5.1e-3)
    assert number <= 1000


@pytest.mark.parametrize("name", sorted(name for name, metric in METRICS.items() if metric.unit == "1"))
def test_every_number_without_a_unit_is_a_share_a_count_a_ratio_or_known_to_be_neither(name: str) -> None:
    """A new metric of unit 1 has to be given a way to be shown."""
    assert (unit_of(name, "1") in ("%", "count", "x")) != (name in PLAIN)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("train.mfu", "%"), ("train.mfu_against_gemm", "%"), ("paging.stall_share", "%"), ("canary.drift", "%"),
        ("inference.slowdown", "x"),
        ("infer.major_faults", "count"), ("paging.cold_minor_faults", "count"), ("train.neighbour_cores", "1"),
        ("train.flops_per_second", "FLOP/s"), ("canary.copy_before", "B/s"), ("train.power", "W"),
    ],
)  # fmt: skip
def test_metrics_are_shown_in_their_units(name: str, unit: str) -> None:
    """Names lead to the unit that is shown, and that unit back to the record's."""
    assert unit_of(name, METRICS[name].unit) == unit
    assert base_unit(unit) == METRICS[name].unit


def test_every_share_and_count_is_a_metric_without_unit() -> None:
    """The lists name nothing that does not exist, and nothing that has a unit."""
    assert {METRICS[name].unit for name in (*SHARES, *COUNTS)} == {"1"}
