"""What a recording says: a verdict, numbers for every step and phase, and whose pages moved."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.worker.paging.attribution import Counts, Paged, attribute, by_owner, whole_steps
from bench.worker.paging.canary import CANARY
from bench.worker.paging.recording import Recording
from bench.worker.paging.uvm import UvmRecord
from bench.worker.paging.validity import Level, Verdict, broken, judge
from bench.worker.probes import Number, Reading

SERIES: Mapping[str, tuple[str, Callable[[Paged], Number]]] = {
    "fault_groups": ("uvm.fault_groups", lambda step: step.counts.fault_groups),
    "fault_batches": ("uvm.fault_batches", lambda step: step.counts.fault_batches),
    "bytes_in": ("uvm.htod_bytes", lambda step: step.counts.moved("htod")),
    "bytes_out": ("uvm.dtoh_bytes", lambda step: step.counts.moved("dtoh")),
    "active_seconds": ("uvm.active_seconds", lambda step: step.active_ns / 1e9),
    "fault_service_seconds": ("uvm.fault_service_seconds", lambda step: step.fault_ns / 1e9),
}
"""The last part of each `paging.` metric, the raw series it is the median of, and where its values come from."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything concluded from a recording.

    `reading` holds medians over the cold steps, `series` one value a step; both are empty
    where nothing was measured. `owners` are bytes by tensor and direction within cold
    steps. `outside` is what started in no window, such as the pages sent away between steps.
    """

    verdict: Verdict
    steps: tuple[Paged, ...]
    phases: tuple[Paged, ...]
    outside: Counts
    owners: Counter[tuple[str, str]]
    series: Mapping[str, tuple[Number | None, ...]]
    reading: Reading


def summarize(recording: Recording) -> Summary:
    """Judge a recording and read it. Raises `ValueError` if its tensors overlap."""
    capture, sent = recording.capture, recording.sent
    records = capture.records()
    try:
        phases, _ = attribute(records, capture.windows)
        steps, outside = attribute(records, whole_steps(capture.windows))
    except ValueError as error:
        reasons = (f"{error}.", *(reason for _, reason in broken(capture)))
        verdict = Verdict(Level.NOT_MEASURED, reasons)
        return Summary(verdict, (), (), Counts(), Counter(), {}, _reading(verdict, []))
    verdict = judge(capture, steps, sent, recording.omitted_buffers)
    cold = [step for step in steps if sent.get(step.window.index, 0) > 0]
    owners = by_owner(_within(records, cold), recording.owners)
    timed = [step for step in steps if step.window.index != CANARY]
    measured = verdict.level is not Level.NOT_MEASURED
    series = _series(timed, sent) if measured else {}
    return Summary(
        verdict, tuple(steps), tuple(phases), outside, owners, series, _reading(verdict, cold if measured else [])
    )


def _within(records: Sequence[UvmRecord], steps: Sequence[Paged]) -> list[UvmRecord]:
    windows = [step.window for step in steps]
    return [record for record in records if any(window.start <= record.start < window.end for window in windows)]


def _series(steps: Sequence[Paged], sent: Mapping[int, int]) -> dict[str, tuple[Number | None, ...]]:
    found = {series: tuple(value(step) for step in steps) for series, value in SERIES.values()}
    return {**found, "uvm.chilled_bytes": tuple(sent.get(step.window.index) for step in steps)}


def _reading(verdict: Verdict, cold: Sequence[Paged]) -> Reading:
    valid = {"counters_valid": int(verdict.level is Level.COUNTED)}
    if not cold:
        why = " ".join(verdict.reasons) or "no step ran cold."
        return Reading(valid, dict.fromkeys(SERIES, why))
    medians = {name: statistics.median(value(step) for step in cold) for name, (_, value) in SERIES.items()}
    return Reading({**valid, **medians})
