"""One predicted run, in lines or as JSON: what it would hold, when and why, and whether it fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.analysis.values import is_answer
from bench.report.display import shown
from bench.schema import RunRecord, Status
from bench.schema.codec import encode
from bench.schema.metrics.memory import CATEGORIES, PHASES, STAGES

SORTS = (("peak_allocated", "tensors"), ("peak_reserved", "reserved"), ("peak_device", "with what is outside torch"),
         ("peak_managed", "managed memory"))  # fmt: skip


def refusal(record: RunRecord) -> str:
    """Say why there is no prediction."""
    return f"{record.status}: {record.failure.message if record.failure else 'no reason recorded'}"


def as_json(record: RunRecord, expected_error: str) -> str:
    """Return the record with `fits` and `expected_error` beside it."""
    document: dict[str, Any] = json.loads(encode(record))
    fits = record.status is Status.OK if is_answer(record) else None
    return json.dumps({"fits": fits, "expected_error": expected_error, **document}, indent=2)


def text(record: RunRecord, expected_error: str) -> str:
    """Say in lines what a run would hold."""
    return "\n".join(_lines(record, expected_error))


def _lines(record: RunRecord, expected_error: str) -> Iterator[str]:
    metrics, resolved = record.metrics, record.resolved
    if not is_answer(record):
        return
    yield f"predicted: {record.case} on {_place(record)}"
    for phase, doing in PHASES.items():
        said = [f"{shown(metrics[f'{phase}.{sort}'], 'B')} {label}" for sort, label in SORTS
                if f"{phase}.{sort}" in metrics]  # fmt: skip
        if said:
            yield f"  peak while {doing}: {', '.join(said)}"
    for stage, doing in STAGES.items():
        if f"{stage}.peak_allocated" in metrics:
            yield f"    {doing}: {shown(metrics[f'{stage}.peak_allocated'], 'B')} tensors"
    yield f"  the peak of training is in {resolved.get('peak.moment')}, at {resolved.get('peak.operation')}"
    yield from _categories(record)
    yield f"  {_fit(record)}"
    if "predict.largest_batch" in metrics:
        yield f"  largest batch that fits: {metrics['predict.largest_batch']}"
    elif "predict.largest_batch" in record.absent:
        yield f"  largest batch that fits: unknown, {record.absent['predict.largest_batch']}"
    yield f"  expected error: {expected_error}"


def _place(record: RunRecord) -> str:
    options = record.config.study_options
    several = f"each of {options['world_size']} cards " if options.get("strategy") == "fsdp2" else ""
    return f"{several}{record.environment['torch.device']}"


def _categories(record: RunRecord) -> Iterator[str]:
    held = {name: record.metrics.get(f"at_peak.{name}", 0) for name in CATEGORIES}
    total = sum(held.values())
    for name, size in sorted(held.items(), key=lambda item: -item[1]):
        if size:
            yield f"    {shown(size, 'B'):>10}  {size / total:4.0%}  {CATEGORIES[name]}"


def _fit(record: RunRecord) -> str:
    capacity = record.metrics["predict.capacity"]
    room = f"{shown(capacity, 'B')} that the card has for torch"
    if record.failure:
        return f"does not fit into the {room}: {record.failure.message}"
    retries = record.metrics.get("predict.retries", 0)
    again = f", after the allocator has given cached memory back {retries} times" if retries else ""
    return f"fits into the {room}{again}"
