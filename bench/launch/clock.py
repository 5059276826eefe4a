"""A clock that only ticks while a worker trains, so that pytest-benchmark's table shows seconds a step."""

from __future__ import annotations

_now = 0.0


def trained_seconds() -> float:
    """Return the clock's reading in seconds; a `timer` for pytest-benchmark."""
    return _now


def advance(seconds: float) -> None:
    """Let the clock tick by what a run reported for one optimiser step."""
    global _now  # noqa: PLW0603 (pytest-benchmark knows a timer only as a module-level function)
    _now += seconds
