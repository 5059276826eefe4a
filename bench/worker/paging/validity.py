"""Whether the counters count: known answers first, numbers afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.worker.paging.attribution import Paged
from bench.worker.paging.canary import CANARY, CANARY_BYTES
from bench.worker.paging.capture import Capture, clock_step
from bench.worker.paging.uvm import Kind

LOW, HIGH = 0.98, 1.05
"""Bytes counted in over bytes sent away, where every record arrived."""

MOST_CLOCK_STEP_NS = 1_000_000

TRIED_APIS = frozenset({24, 26, 27, 28, 130000, 130001})
"""API versions of CUPTI whose records have been read by this code; in others they may look different."""


class Level(StrEnum):
    """How far the numbers can be believed."""

    COUNTED = "counted"
    LOWER_BOUND = "lower bound"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A level and every reason for it. A counted verdict may carry remarks."""

    level: Level
    reasons: tuple[str, ...]


Finding = tuple[Level, str]


def judge(capture: Capture, steps: Sequence[Paged], sent: Mapping[int, int], omitted_buffers: int = 0) -> Verdict:
    """Judge whole steps, the canary's among them.

    `sent` says for each step how many bytes were sent away just before it: 0 for the
    resident control; a step that is not in it, such as the first one, is not judged.
    """
    found = [
        *broken(capture),
        *_canary(steps),
        *_resident([step for step in steps if sent.get(step.window.index) == 0]),
        *_reconciled([(step, sent[step.window.index]) for step in steps if sent.get(step.window.index, 0) > 0]),
        *_lost(capture, omitted_buffers),
    ]
    levels = {level for level, _ in found}
    level = next((one for one in (Level.NOT_MEASURED, Level.LOWER_BOUND) if one in levels), Level.COUNTED)
    return Verdict(level, tuple(reason for _, reason in found))


def broken(capture: Capture) -> Iterator[Finding]:
    """Yield what can be said of a capture without reading a record."""
    for fault in capture.faults:
        yield Level.NOT_MEASURED, fault
    step = clock_step(capture.clocks)
    if step > MOST_CLOCK_STEP_NS:
        yield Level.NOT_MEASURED, f"CUPTI's clock stepped by {step / 1e6:.1f} ms (time was set); run it again."
    if capture.api not in TRIED_APIS:
        yield Level.COUNTED, f"records of CUPTI {capture.api} have not been tried here."


def _canary(steps: Sequence[Paged]) -> Iterator[Finding]:
    seen = [step.counts.moved("htod") for step in steps if step.window.index == CANARY]
    if not seen:
        yield Level.NOT_MEASURED, "no canary ran, so nothing shows that the counters count."
    elif min(seen) < CANARY_BYTES:
        yield (
            Level.NOT_MEASURED,
            (
                f"the canary moved {CANARY_BYTES:,} B and {min(seen):,} B were counted: attached too late, "
                "or /dev/nvidia-uvm-tools is missing."
            ),
        )


def _resident(controls: Sequence[Paged]) -> Iterator[Finding]:
    if not controls:
        yield Level.LOWER_BOUND, "no resident step ran as a control."
    for step in controls:
        faults, moved = step.counts.records[Kind.GPU_FAULT], step.counts.bytes.total()
        if faults or moved:
            yield (
                Level.NOT_MEASURED,
                (
                    f"step {step.window.index} had all its state on the device, yet {faults} faults and {moved:,} B "
                    "were counted: something else pages."
                ),
            )


def _reconciled(cold: Sequence[tuple[Paged, int]]) -> Iterator[Finding]:
    if not cold:
        yield Level.LOWER_BOUND, "no step ran whose bytes are known."
    for step, sent in cold:
        share = step.counts.moved("htod") / sent
        said = f"step {step.window.index} brought back {share:.3f} of the {sent:,} B sent away: "
        if share < LOW:
            yield Level.LOWER_BOUND, said + "records were lost."
        elif share > HIGH:
            yield Level.NOT_MEASURED, said + "something else pages, or records count twice."


def _lost(capture: Capture, omitted_buffers: int) -> Iterator[Finding]:
    losses = capture.losses
    if losses.dropped is None:
        yield Level.LOWER_BOUND, "CUPTI would not say how many records it dropped."
    counts = {
        "records dropped by CUPTI": losses.dropped,
        "buffers that were never asked for": losses.foreign,
        "buffers with records not given back": losses.unreturned,
        "bytes of records over the session's limit": losses.over_limit,
        "buffers left out of the file": omitted_buffers,
    }
    for what, number in counts.items():
        if number:
            yield Level.LOWER_BOUND, f"{number:,} {what}."
