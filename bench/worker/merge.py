"""Merge the adapter into the base, in place, as peft does."""

from __future__ import annotations

from typing import Any

from bench.worker.logbook import Logbook


def merge(logbook: Logbook, model: Any) -> None:
    """Merge and keep the phase's readings; where there is nothing to merge, or peft refuses, say so."""
    if not hasattr(model, "merge_and_unload"):
        logbook.absent["merge.seconds"] = "there is no adapter to merge."
        return
    refusal = ""
    with logbook.phase("merge"):
        try:
            model.merge_and_unload()
        except (NotImplementedError, ValueError) as refused:
            refusal = f"peft does not merge this adapter: {refused}"
    if refusal:
        for name in [name for name in logbook.metrics if name.startswith("merge.")]:
            del logbook.metrics[name]
        logbook.absent["merge.seconds"] = refusal
