"""Training that several processes share: what they exchange, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

COLLECTIVES: Mapping[str, str] = MappingProxyType({
    "all_reduce": "sums that all processes get",
    "all_gather": "parts that all processes get the whole of",
    "reduce_scatter": "sums of which every process gets a part",
    "broadcast": "what one process sends to all",
})  # fmt: skip
HOW = ("counted as torch is asked for them, in one step that is not timed; a collective's size is that of its larger "
       "side, as nccl-tests count it")  # fmt: skip

DISTRIBUTED: Mapping[str, Metric] = MappingProxyType({
    "distributed.bytes": Metric(
        "B", "lower", "exact", "exchanged a step",
        f"Bytes that the first process hands to collectives in an optimiser step, {HOW}. 0 where one device trains."),
    **{f"distributed.{name}_bytes": Metric(
        "B", "lower", "exact", f"{name.replace('_', '-')} a step",
        f"Bytes of {what} ({name.replace('_', '-')}) in an optimiser step, {HOW}.")
       for name, what in COLLECTIVES.items()},
    "distributed.calls": Metric(
        "1", "lower", "exact", "collectives a step",
        "Collectives that the first process takes part in in an optimiser step; of small ones each costs its start."),
    "distributed.quantizations": Metric(
        "1", "lower", "exact", "quantised a step",
        "How often bitsandbytes quantises a weight in an optimiser step of the first process: 0 where weights stay as "
        "they were quantised when they were loaded."),
    "distributed.expansions": Metric(
        "1", "lower", "exact", "expanded a step",
        "How often bitsandbytes expands a 4-bit weight in an optimiser step of the first process, by itself or within "
        "a product: for the forward and for the backward pass."),
    "distributed.exposed_seconds": Metric(
        "s", "lower", "noisy", "waiting a step",
        "Seconds of an optimiser step in which NCCL's kernels ran on the first GPU and no other kernel did, from "
        "torch's profiler in one step that is not timed: what is exchanged while nothing is computed.",
        devices=("cuda",)),
})  # fmt: skip
