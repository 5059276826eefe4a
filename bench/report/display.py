"""Numbers as people read them. Records keep base units; GiB and percent exist here only."""

from __future__ import annotations

import math

BINARY = ((2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))
DECIMAL = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
PREFIXED = {"B": BINARY, "B/s": DECIMAL, "FLOP": DECIMAL, "FLOP/s": DECIMAL, "Hz": DECIMAL}
"""Units that get a prefix: bytes in powers of 1024, what data sheets give in powers of 1000."""

SHARES = (
    "parameters.trainable_share", "evaluate.accuracy", "evaluate.accuracy_before",
    "train.mfu", "train.mfu_at_clock", "train.mfu_against_gemm",
    "canary.drift", "paging.paged_share", "paging.stall_share",
    "merging.update_size", "merging.update_kept", "merging.update_error", "merging.weight_error", "merging.drift",
    "merging.flips", "merging.flips_of_base", "merging.flips_from_base", "merging.accuracy",
    "numerics.wrong", "numerics.error", "numerics.allowed",
    "adapters.base_unchanged",
    "quantization.flips", "quantization.relative_error", "quantization.normal_relative_error",
    "quantization.uniform_relative_error", "quantization.normal_uniform_relative_error",
)  # fmt: skip
COUNTS = (
    "parameters.total", "parameters.trainable", "data.truncated", "data.contaminated", "evaluate.truncated",
    "evaluate.unfinished", "evaluate.unfinished_before", "train.allocator_growth",
    "train.allocator_retries", "train.foreign_processes", "paging.counters_valid", "paging.fault_groups",
    "paging.fault_batches", "train.clock_reasons_start", "train.clock_reasons_end", "predict.retries",
    "predict.largest_batch", "numerics.checks", "quantization.weights", "train.diverged",
    "flow.trainable", "flow.total", "distributed.calls", "distributed.quantizations", "distributed.expansions",
)  # fmt: skip
RATIOS = ("inference.slowdown", "inference.first_token_slowdown", "adapters.mixed_slowdown")
FAULTS = ("minor_faults", "major_faults")
LEAST_PLAIN = 1e-4
"""Pure numbers and percentages below this are written with a power of ten."""
DIFFERENCE = "+%"
"""Unit of a relative difference: a share with its sign."""
POINTS = "points"
"""Unit of a difference of two shares, in percentage points with its sign."""


def unit_of(metric: str, unit: str) -> str:
    """Return the unit to show a metric of base unit `unit` in: shares as %, ratios with ×, counts as whole."""
    if metric in SHARES:
        return "%"
    if metric in RATIOS:
        return "x"
    return "count" if metric in COUNTS or metric.endswith(FAULTS) else unit


def base_unit(unit: str) -> str:
    """Return the unit of the raw value behind a shown unit: a share or difference shown in % is a number of unit 1."""
    return "1" if unit in ("%", "x", "count", DIFFERENCE, POINTS) else unit


def shown(value: float, unit: str, low: float | None = None, high: float | None = None) -> str:
    """Write a value in a base unit (B, s, tok/s, FLOP/s, 1 ..., or %, +%, x, count), with its interval if it has one.

    Digits follow the interval: its half-width is shown to one digit, or two when the first
    is a 1, as usual for uncertainties; without one the value gets three. Counts are whole.
    """
    if not math.isfinite(value):
        return "not finite"
    if unit == DIFFERENCE:
        interval = "" if low is None or high is None or low == high else f" ({low:+.2%} to {high:+.2%})"
        return f"{value:+.2%}{interval}"
    if unit == POINTS:
        interval = "" if low is None or high is None else f" ({low * 100:+.1f} to {high * 100:+.1f})"
        return f"{value * 100:+.1f} points{interval}"
    factor, name = _scale(value, unit)
    joint = "" if name in ("%", "×") else " " if name else ""
    if low is None or high is None or low == high or not (math.isfinite(low) and math.isfinite(high)):
        return f"{_alone(value * factor, unit)}{joint}{name}"
    half = (high - low) / 2 * factor
    decimals = min(_decimals(half, 2 if f"{half:e}".startswith("1") else 1), _decimals(value * factor, 4))
    decimals = 0 if unit == "count" else max(decimals, _decimals(value * factor, 2))
    if unit in ("x", "%"):
        decimals = _beside_one(low * factor, high * factor, factor, decimals)
    middle, least, most = (_digits(x * factor, decimals) for x in (value, low, high))
    if least == most:
        return f"{middle}{joint}{name}"
    to = " to " if low < 0 else "\N{EN DASH}"  # a dash before a minus reads as another number
    return f"{middle}{joint}{name} ({least}{to}{most})"


def _alone(value: float, unit: str) -> str:
    """Write a number that has no interval."""
    if unit in ("1", "%") and 0 < abs(value) < LEAST_PLAIN:
        return f"{value:.2e}"
    return _digits(value, 0 if unit == "count" else _decimals(value))


def _scale(value: float, unit: str) -> tuple[float, str]:
    for size, prefix in PREFIXED.get(unit, ()):
        if abs(value) >= size:
            return 1 / size, f"{prefix}{unit}"
    if unit == "s":
        return (1000, "ms") if 0 < abs(value) < 1 else (1, "s")
    return {"%": (100, "%"), "x": (1, "×"), "1": (1, ""), "count": (1, ""), "Cel": (1, "°C")}.get(unit, (1, unit))


def _beside_one(low: float, high: float, one: float, decimals: int) -> int:
    """Add digits until a side of the interval that is not 1 (or 100 %) does not read as 1: it decides."""
    while decimals < 6 and any(side != one and round(side, decimals) == one for side in (low, high)):
        decimals += 1
    return decimals


def _decimals(value: float, significant: int = 3) -> int:
    """Digits after the point that show `value` with so many significant digits, at most 6."""
    if value == 0:
        return 0
    return max(0, min(6, significant - 1 - math.floor(math.log10(abs(value)))))


def _digits(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"
