"""Numbers as people read them. Records keep base units; GiB and percent exist here only."""

from __future__ import annotations

import math

BINARY = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
SHARES = ("evaluate.accuracy", "evaluate.accuracy_before", "parameters.trainable_share")
COUNTS = ("parameters.total", "parameters.trainable", "data.truncated", "data.contaminated")


def unit_of(metric: str, unit: str) -> str:
    """Return the unit to show a metric of base unit `unit` in: shares as %, counts as whole numbers."""
    if metric in SHARES:
        return "%"
    return "count" if metric in COUNTS else unit


def base_unit(unit: str) -> str:
    """Return the unit of the raw value behind a shown unit: a share shown in % is a number of unit 1."""
    return "1" if unit in ("%", "x", "count") else unit


def shown(value: float, unit: str, low: float | None = None, high: float | None = None) -> str:
    """Write a value in a base unit (B, s, tok/s, tok, 1, or %, x, count), with its interval when it has one.

    Digits follow the interval: its half-width is shown to one digit, or two when the first
    is a 1, as usual for uncertainties; without one the value gets three.
    """
    if not math.isfinite(value):
        return "not finite"
    if unit == "count":
        return f"{value:,.0f}"
    factor, name = _scale(value, unit)
    joint = "" if name in ("%", "×") else " " if name else ""
    if low is None or high is None or low == high or not (math.isfinite(low) and math.isfinite(high)):
        return f"{_digits(value * factor, _decimals(value * factor))}{joint}{name}"
    half = (high - low) / 2 * factor
    decimals = min(_decimals(half, 2 if f"{half:e}".startswith("1") else 1), _decimals(value * factor, 4))
    decimals = max(decimals, _decimals(value * factor, 2))
    if unit in ("x", "%"):
        decimals = _beside_one(low * factor, high * factor, factor, decimals)
    middle, least, most = (_digits(x * factor, decimals) for x in (value, low, high))
    if least == most:
        return f"{middle}{joint}{name}"
    return f"{middle}{joint}{name} ({least}\N{EN DASH}{most})"


def _scale(value: float, unit: str) -> tuple[float, str]:
    if unit == "B":
        for size, name in BINARY:
            if abs(value) >= size:
                return 1 / size, name
        return 1, "B"
    if unit == "s":
        return (1000, "ms") if 0 < abs(value) < 1 else (1, "s")
    return {"%": (100, "%"), "x": (1, "×"), "1": (1, "")}.get(unit, (1, unit))


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
