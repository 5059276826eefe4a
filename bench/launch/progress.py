"""What is said of a run when it has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from bench.analysis.values import is_answer, value
from bench.errors import RunDidNotFinishError
from bench.launch.forecast import needed
from bench.schema import Kind, RunRecord

SPOKEN: Mapping[str, str] = MappingProxyType({
    "train.step_seconds": "{:.3g} s a step",
    "train.tokens_per_second": "{:.0f} tok/s",
    "paging.stall": "stall {:.3g} s",
    "inference.token_seconds": "{:.3g} s a token",
    "inference.slowdown": "{:.3g} times the base's",
    "adapters.set_seconds": "{:.3g} s to set",
    "adapters.mixed_slowdown": "mixed batch {:.3g} times one adapter's",
    "adapters.base_unchanged": "{:.1%} of the base unchanged",
    "evaluate.accuracy_before": "accuracy {:.1%} before",
    "evaluate.accuracy": "{:.1%} after",
})  # fmt: skip


def progress_line(name: str, number: int, rounds: int, record: RunRecord, *, fresh: bool) -> str:
    """Say in a line how a run ended; `rounds` 0 for one of unknown many."""
    said = [f"  {name} {number}/{rounds}: {record.status}" if rounds else f"  {name}: {record.status}"]
    if record.failure:
        said = [f"{said[0]} in {record.failure.phase}"]
    if record.kind is Kind.PREDICTED and is_answer(record):
        said.append(f"predicted {needed(record)}")
    elif record.failure:
        said = [f"{said[0]}: {record.failure.message}"]
    for metric, words in SPOKEN.items():
        found = value(record, metric)
        if found is not None and math.isfinite(found):
            said.append(words.format(found))
    if not fresh:
        said.append("kept from before")
    return ", ".join(said)


def unfinished(record: RunRecord) -> RunDidNotFinishError:
    """Make the error that says how a run ended instead of a measurement."""
    return RunDidNotFinishError(record.case, record.status, record.failure.message if record.failure else "")
