"""The steps behind a stall: the median cold step and the median resident step of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from types import MappingProxyType

from bench.analysis.blocks import ORDER
from bench.analysis.stall import is_cold, stall
from bench.schema.record import RunRecord


def turn_seconds(record: RunRecord, *, cold: bool) -> float | None:
    """Return the median seconds of the cold, or resident, steps of whole blocks; None for a run without a stall."""
    if stall(record) is None:
        return None
    seconds = record.series["step.seconds"][record.config.untimed_steps :]
    whole = seconds[: len(seconds) // len(ORDER) * len(ORDER)]
    return float(median(s for number, s in enumerate(whole) if s is not None and is_cold(number) is cold))


TURNS: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    "paging.cold_step": lambda record: turn_seconds(record, cold=True),
    "paging.resident_step": lambda record: turn_seconds(record, cold=False),
})  # fmt: skip
"""Their names in tables and on pages. In one run their difference is `paging.stall`."""
