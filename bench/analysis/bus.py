"""What paging should cost by a rule of thumb: a prediction to stand beside the measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from types import MappingProxyType

from bench.schema.record import RunRecord

LANE = {1: 2.5e9 * 8 / 10 / 8, 2: 5e9 * 8 / 10 / 8, **{g: 2**g * 1e9 * 128 / 130 / 8 for g in (3, 4, 5)}}
"""Bytes a second of a PCI Express lane by generation: transfers times the code's share of payload (PCI-SIG: 8b/10b,
from generation 3 on 128b/130b). Generation 6 counts differently and is left out."""


def predicted_stall(record: RunRecord) -> float | None:
    """Return seconds by bitsandbytes' planning rule: bytes moved over half the bus (its docs, "8-bit optimizers").

    The bus is the most that card and slot can do together. None for a run that moved nothing, or an unknown bus.
    """
    away = [b for b in record.series.get("step.chilled_bytes", ()) if b]
    generation = record.environment.get("gpu.pcie_generation_max")
    lanes = record.environment.get("gpu.pcie_width_max_lanes")
    if not away or not isinstance(generation, int) or not isinstance(lanes, int) or generation not in LANE:
        return None
    return median(away) / (0.5 * LANE[generation] * lanes)


BUS: Mapping[str, Callable[[RunRecord], float | None]] = MappingProxyType({"paging.predicted_stall": predicted_stall})
