"""Merge the adapter into the base, in place, as peft does."""

from __future__ import annotations

from typing import Any

from bench.worker import resolved
from bench.worker.logbook import Logbook
from bench.worker.probes.owners import owners
from bench.worker.refusals import REFUSALS

WEIGHTS = ("base_", "quantization_state", "adapters")
"""How the categories of memory begin that weights are in."""


def merge(logbook: Logbook, model: Any) -> None:
    """Merge and keep the phase's readings; where there is nothing to merge, or peft refuses, say so."""
    if not hasattr(model, "merge_and_unload"):
        logbook.absent["merge.seconds"] = "there is no adapter to merge."
        return
    refusal = ""
    before = weight_bytes(model)
    with logbook.phase("merge"):
        try:
            merged = model.merge_and_unload()
        except REFUSALS as refused:
            refusal = f"peft does not merge this adapter: {refused}"
    if refusal:
        for name in [name for name in logbook.metrics if name.startswith("merge.")]:
            del logbook.metrics[name]
        logbook.absent["merge.seconds"] = refusal
        return
    logbook.metrics |= {"merge.weights_before": before, "merge.weights_after": weight_bytes(merged)}
    logbook.resolve({"merge.quantization": resolved.settings(merged)["base.quantization"]})


def weight_bytes(model: Any) -> int:
    """Return the bytes of a model's weights, adapters and quantisation states included, each storage once."""
    return sum(block.size for block in owners(model) if block.category.startswith(WEIGHTS))
