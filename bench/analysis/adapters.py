"""Many adapters in one model: seconds of every operation, and a batch of all of them against one of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType

from bench.analysis.blocks import Block, alone, in_blocks, middle, pooled
from bench.analysis.stats import Estimate
from bench.schema.metrics.adapters import COMBINATIONS, OPERATIONS, TURNS, series_of
from bench.schema.record import RunRecord


def _batches(record: RunRecord) -> list[Block]:
    return in_blocks(record.series.get(TURNS, ()))


def _median(operation: str) -> Callable[[RunRecord], float | None]:
    def middle_one(record: RunRecord) -> float | None:
        known = [seconds for seconds in record.series.get(series_of(operation), ()) if seconds is not None]
        return median(known) if known else None

    return middle_one


SLOWDOWN: Mapping[str, Callable[[Sequence[RunRecord]], Estimate | None]] = MappingProxyType({
    "adapters.mixed_slowdown": pooled(_batches, "mixed, one adapter, one adapter, mixed"),
})  # fmt: skip
"""Ratios of a case's runs with their intervals."""

ADAPTERS: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({
    **{f"adapters.{name}_seconds": _median(name) for name in (*OPERATIONS, *COMBINATIONS)},
    "adapters.mixed_seconds": middle(_batches, first=True),
    "adapters.single_seconds": middle(_batches, first=False),
    "adapters.mixed_slowdown": alone(_batches),
})  # fmt: skip
