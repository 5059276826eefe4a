"""Every number a record may hold or that is read off one: unit, direction, noise, meaning.

Base units only: bytes, seconds, tokens a second, joules, 1. GiB and percent are for display.
A metric's `about` gives its source and what it misses.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.adapters import ADAPTERS
from bench.schema.metrics.distributed import DISTRIBUTED
from bench.schema.metrics.flow import FLOW
from bench.schema.metrics.inference import INFERENCE
from bench.schema.metrics.machine import MACHINE
from bench.schema.metrics.memory import MEMORY
from bench.schema.metrics.merging import MERGING
from bench.schema.metrics.metric import Metric
from bench.schema.metrics.numerics import NUMERICS
from bench.schema.metrics.outcome import OUTCOME
from bench.schema.metrics.paging import PAGING
from bench.schema.metrics.prediction import PREDICTION
from bench.schema.metrics.quantization import QUANTIZATION
from bench.schema.metrics.speed import SPEED

METRICS: Mapping[str, Metric] = MappingProxyType({
    **OUTCOME, **SPEED, **MEMORY, **PAGING, **MACHINE, **PREDICTION,
    **MERGING, **NUMERICS, **QUANTIZATION, **INFERENCE, **ADAPTERS, **FLOW, **DISTRIBUTED,
})  # fmt: skip

__all__ = ["METRICS", "Metric"]
