"""Start the processes of a run, wait for them, and make one record of theirs. Torch computes in them alone."""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, start_processes

from bench.errors import BadValueError, RecordFormatError, UnsupportedError
from bench.schema import RunConfig, Status
from bench.schema.codec import decode
from bench.schema.studies import devices
from bench.worker.distributed import Place, rank
from bench.worker.distributed.gather import End, cause, fold
from bench.worker.logbook import EndedError, Logbook

TOGETHER_S = 2.0
"""How long processes that follow another into its end have to say so before they are ended."""
GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""


def run(logbook: Logbook) -> None:
    """Let as many processes as the config says train together, and write down what they did.

    Raises `UnsupportedError` for what this machine or the config does not allow, and `EndedError` where a process
    does not end well; what is known by then is in the logbook.
    """
    config = logbook.config
    strategy = config.study_options["strategy"]
    needed = devices(config.study_options)
    world = 1 if strategy == "device_map" else needed
    _refuse(config, world)
    cards = _cards(config, needed)
    if strategy == "device_map":
        cards = (",".join(cards),)
    forks = config.device == "cpu" and sys.platform == "linux"  # nothing was computed yet, so nothing is inherited
    context = start_processes(  # type: ignore[no-untyped-call]
        rank.main,
        (str(logbook.folder), world, cards),
        nprocs=world,
        join=False,
        start_method="fork" if forks else "spawn",
    )
    assert context is not None
    ends = _ends(context, logbook.folder)
    records = [end.record for end in ends if end.record]
    if records:
        fold(logbook, records, whole=len(records) == world)
    if len(records) < world or any(record.status is not Status.OK for record in records):
        raise EndedError(*cause(ends))


def _refuse(config: RunConfig, world: int) -> None:
    if config.study_options["strategy"] == "device_map" and config.device == "cpu":
        raise UnsupportedError("device_map deals layers out to GPUs, and a CPU is one device.")
    if config.batch_size % world:
        raise BadValueError(f"batch_size={config.batch_size} cannot be shared by {world} processes; use a multiple.")
    if config.gradient_accumulation_steps > 1:
        raise UnsupportedError("gradients are exchanged after every micro-batch here; use "
                               "gradient_accumulation_steps=1 and a larger batch.")  # fmt: skip


def _cards(config: RunConfig, needed: int) -> tuple[str, ...]:
    """Return the GPUs of a run, as CUDA_VISIBLE_DEVICES names them; none on a CPU."""
    if config.device == "cpu":
        return ()
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = [word for word in said.split(",") if word] if said is not None else list(map(str, range(_count())))
    if len(seen) < needed:
        raise UnsupportedError(f"this needs {needed} GPUs, and {len(seen)} can be seen.")
    return tuple(seen[:needed])


def _count() -> int:
    return torch.cuda.device_count()  # asks NVML, and makes no context


def _ends(context: ProcessContext, folder: Path) -> list[End]:
    """Wait until all processes have ended, or one has not ended well; end the others then, and say how each ended."""
    waiting = {process.sentinel: process for process in context.processes}
    try:
        while waiting and not any(process.exitcode for process in context.processes):
            for sentinel in multiprocessing.connection.wait(list(waiting)):
                waiting.pop(sentinel).join()
        _let_follow(context.processes)
        codes = [process.exitcode for process in context.processes]
    except BaseException:
        for process in context.processes:
            process.kill()
        raise
    with contextlib.suppress(ProcessExitedException):
        while not context.join(grace_period=GRACE_S):
            pass
    return [_end(Place(number, len(codes), folder), code) for number, code in enumerate(codes)]


def _let_follow(processes: Sequence[BaseProcess]) -> None:
    """Give processes a moment that lost another: they say what they noticed."""
    deadline = time.monotonic() + TOGETHER_S
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))


def _end(place: Place, exit_code: int | None) -> End:
    """Read what a process left."""
    file = place.own_folder / "record.json"
    phase_file = (place.own_folder if place.rank else place.folder) / "phase"
    phase = "start"
    with contextlib.suppress(OSError):
        phase = phase_file.read_text() or phase
    try:
        return End(exit_code, decode(file.read_bytes()), phase, file.stat().st_mtime)
    except (OSError, RecordFormatError):
        return End(exit_code, None, phase)
