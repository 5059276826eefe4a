"""What only predictions hold: what was found out about a card that is not there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

PREDICTION: Mapping[str, Metric] = MappingProxyType({
    "predict.capacity": Metric(
        "B", "neither", "exact", "memory for torch",
        "Bytes of the card that torch's allocator can have: what the driver reports less what a CUDA process holds "
        "outside torch (bench.schema.overheads).", devices=("fake",)),
    "predict.retries": Metric(
        "1", "lower", "exact", "allocator retries on the card",
        "How often the allocator would have to give cached segments back before an allocation finds room on the "
        "card; each stops the GPU. The run's events are replayed with the card's memory.", devices=("fake",)),
    "predict.largest_batch": Metric(
        "1", "higher", "exact", "largest batch that fits",
        "Largest batch size with which the run's events find room on the card, worked out from two simulations whose "
        "batch sizes differ: every allocation grows in a straight line.", devices=("fake",)),
    "predict.seconds": Metric(
        "s", "lower", "noisy", "seconds the prediction took",
        "Wall time of the simulation, from the start of its process to its record.", devices=("fake",)),
})  # fmt: skip
