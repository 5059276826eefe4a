"""Look into steps after everything timed: seconds by stage, memory by category at the peak, the step's timeline."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping

from bench.errors import UnsupportedError
from bench.schema import Kind
from bench.schema.metrics.memory import CATEGORIES, STAGES
from bench.worker.batches import Batch
from bench.worker.devices import Device
from bench.worker.logbook import Logbook
from bench.worker.loop import OnStage, Steps, Trainer, unobserved
from bench.worker.probes import Number, metered
from bench.worker.probes.attribution import Attribution, replay
from bench.worker.probes.flops import flops_of_step, shape_of
from bench.worker.probes.head import head_marks
from bench.worker.probes.owners import by_address
from bench.worker.probes.timeline import timeline


def inspect(logbook: Logbook, trainer: Trainer, steps: Steps, one_batch: Callable[[], object] | None) -> None:
    """Make two more steps on the run's largest batch and take them apart; `one_batch` evaluates one.

    Nothing here feeds a speed. A failure leaves the numbers absent, with the reason; the run stands.
    """
    logbook.enter("inspect")
    start = time.perf_counter()
    try:
        _count_flops(logbook, trainer, steps)
        _time_stages(logbook, trainer, steps)
        _trace_step(logbook, trainer, steps)
        if one_batch and "evaluate.peak_allocated" not in logbook.metrics:
            _trace_evaluation(logbook, trainer, one_batch)
    except Exception as error:
        traceback.print_exc()
        short = logbook.shortage(error)
        reason = "no memory left to look inside." if short else f"looking inside failed: {error}"
        _note_unseen(logbook, reason)
    logbook.metrics["inspect.seconds"] = time.perf_counter() - start


def _note_unseen(logbook: Logbook, reason: str) -> None:
    wanted = ["at_peak.total", "train.peak_allocated", *(f"{stage}.peak_allocated" for stage in STAGES)]
    logbook.absent.update(dict.fromkeys(wanted, reason))


def _count_flops(logbook: Logbook, trainer: Trainer, steps: Steps) -> None:
    """Keep the operations of every step's matrix products, where the model's are known."""
    try:
        with trainer.precision():
            shape = shape_of(trainer.model)
    except UnsupportedError as unknown:
        logbook.absent["train.flops_per_second"] = str(unknown)
        return
    counts = [sum(flops_of_step(shape, rows * length, length) for rows, length in made) for made in steps.shapes]
    logbook.keep_series("step.flops", counts)
    if shape.window:
        logbook.resolve({"attention.window": shape.window})


def _time_stages(logbook: Logbook, trainer: Trainer, steps: Steps) -> None:
    """Time forward, backward and optimizer of one step, the device synchronised between them."""
    seconds = dict.fromkeys(STAGES, 0.0)
    stage, entered = "", 0.0

    def on_stage(name: str) -> None:
        nonlocal stage, entered
        logbook.device.synchronize()
        now = time.perf_counter()
        if stage:
            seconds[stage] += now - entered
        stage, entered = name, now

    trainer.model.train()
    trainer.step(steps.largest, on_stage)
    logbook.metrics.update({f"{name}.seconds": spent for name, spent in seconds.items()})


def _trace_step(logbook: Logbook, trainer: Trainer, steps: Steps) -> None:
    """Follow the allocations of one step and say what every byte at its peak is for."""
    with metered(logbook.device.meters().phase) as window:
        found = followed(logbook.device, trainer, steps.largest)
        logbook.device.synchronize()
    note_attribution(logbook, found, window.values)


def followed(
    device: Device, trainer: Trainer, micro_batches: list[Batch], also: OnStage = unobserved
) -> Attribution | str:
    """Make one step and follow its allocations; `also` is called at its stages.

    Returns what every byte was for, or why that is not known.
    """
    known: dict[str, Mapping[int, str]] = {}
    before = trainer.held()
    with device.recorder() as recorder:

        def on_stage(name: str) -> None:
            also(name)
            if name in ("optimizer", "end"):  # gradients are known at the one, new optimiser state at the other
                known[name] = by_address(trainer.held())
            recorder.mark(name)

        with head_marks(trainer.bare, recorder.mark):
            trainer.step(micro_batches, on_stage)
    if recorder.trace is None:
        return recorder.absent
    return replay(recorder.before(before), recorder.trace, known)


def note_attribution(logbook: Logbook, found: Attribution | str, window: Mapping[str, Number]) -> None:
    """Keep the categories at a followed step's peak and its timeline; `window` are the meters' readings around it."""
    if isinstance(found, str):
        _note_unseen(logbook, found)
        return
    _note_peak(logbook, found, window)
    for name, values in timeline(found).items():
        if name != "timeline.seconds" or logbook.device.kind is Kind.MEASURED:
            logbook.keep_series(name, values)


def _note_peak(logbook: Logbook, found: Attribution, window: Mapping[str, Number]) -> None:
    metrics = logbook.metrics
    metrics["at_peak.total"] = found.total
    metrics.update({f"at_peak.{name}": found.peak[name] for name in CATEGORIES})
    if not found.head_seen:
        del metrics["at_peak.logits"]
        logbook.absent["at_peak.logits"] = "the head is not called as a module; its bytes are in other categories."
    metrics.update({f"{stage}.peak_allocated": peak for stage, peak in found.stages.items()})
    metrics.setdefault("train.peak_allocated", found.total)
    logbook.resolve({"at_peak.stage": found.stage})
    if "peak_requested" in window:
        metrics["at_peak.unseen"] = window["peak_requested"] - found.total
    if "peak_reserved" in window:
        metrics["at_peak.allocator_slack"] = window["peak_reserved"] - found.total
        if "peak_process" in window:
            metrics["at_peak.outside_torch"] = window["peak_process"] - window["peak_reserved"]


def _trace_evaluation(logbook: Logbook, trainer: Trainer, one_batch: Callable[[], object]) -> None:
    """Follow one batch of answers: what lives anyway, and what the batch adds at its peak."""
    before = trainer.held()
    with logbook.device.recorder() as recorder:
        one_batch()
    if recorder.trace is None:
        logbook.absent["evaluate.peak_allocated"] = recorder.absent
    else:
        logbook.metrics["evaluate.peak_allocated"] = replay(before, recorder.trace, {}).total
