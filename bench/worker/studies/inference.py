"""What does an adapter cost when text is generated? In turns with the base: first token, every token, memory.

The adapter is not trained: what is computed with it costs the same. Its weights are moved so that it does something.
Claims C07 and C25 of the guide.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from peft.helpers import DoraCaching

from bench.analysis.blocks import ORDER, is_first
from bench.schema.metrics.inference import FIRST, LATER
from bench.worker import canaries
from bench.worker.build import begin, build
from bench.worker.logbook import Logbook
from bench.worker.merge import weight_bytes
from bench.worker.probes.attribution import replay
from bench.worker.probes.owners import owners
from bench.worker.studies.inference_models import Seat, Seats, seats
from bench.worker.studies.inference_tokens import Generated, cache_bytes, cache_formula, generate, prompts_of


def run(logbook: Logbook) -> None:
    """Let the config's model generate in the study's `state`, alone first and then in turns with its base.

    Raises `UnsupportedError` for a method without layers of its own, and for a merge that is refused.
    """
    named = begin(logbook)
    canaries.note(logbook, "before")
    built = build(logbook, named)
    prompts = prompts_of(built, logbook.config).to(logbook.device.torch_name)
    with DoraCaching(enabled=bool(logbook.config.study_options["dora_caching"])):
        found = seats(logbook, named, built, prompts)
        _serve(logbook, found, prompts)
        _take_turns(logbook, found, prompts)
        _note_peak(logbook, found, prompts)
    canaries.note(logbook, "after")


def _serve(logbook: Logbook, found: Seats, prompts: torch.Tensor) -> None:
    """Generate once with nothing else in memory: it warms up, and the phase's meters see what serving needs."""
    with logbook.phase("infer"):
        made = _generate(logbook, found.asked, prompts)
    cached = prompts.shape[1] + int(logbook.config.study_options["new_tokens"]) - 1
    width = made.cache.layers[0].keys.element_size()
    logbook.metrics |= {
        "inference.weights": weight_bytes(found.model),
        "inference.cache_bytes": cache_bytes(made.cache),
        "inference.cache_formula": cache_formula(found.asked.config, len(prompts), cached, width),
    }


def _take_turns(logbook: Logbook, found: Seats, prompts: torch.Tensor) -> None:
    """Time every token with the adapter, without, without, with, block after block."""
    logbook.enter("inference")
    start = time.perf_counter()
    base: Seat = found.base()
    with base() as model:
        logbook.metrics["inference.base_weights"] = weight_bytes(model)
        _generate(logbook, model, prompts)
    firsts, laters = list[float](), list[float]()
    for turn in range(len(ORDER) * int(logbook.config.study_options["repeats"])):
        if is_first(turn):
            made = _generate(logbook, found.asked, prompts)
        else:
            with base() as model:
                made = _generate(logbook, model, prompts)
        firsts.append(made.first)
        laters += made.later
    logbook.keep_series(FIRST, firsts)
    logbook.keep_series(LATER, laters)
    logbook.metrics["inference.seconds"] = time.perf_counter() - start


def _note_peak(logbook: Logbook, found: Seats, prompts: torch.Tensor) -> None:
    """Where no allocator keeps a peak, follow the allocations of one more generation: weights, cache and all else."""
    if "infer.peak_allocated" in logbook.metrics:
        return
    logbook.enter("inspect")
    start = time.perf_counter()
    before = owners(found.model)
    with logbook.device.recorder() as recorder:
        _generate(logbook, found.asked, prompts)
    if recorder.trace is None:
        logbook.absent["infer.peak_allocated"] = recorder.absent
    else:
        logbook.metrics["infer.peak_allocated"] = replay(before, recorder.trace, {}).total
    logbook.metrics["inspect.seconds"] = time.perf_counter() - start


def _generate(logbook: Logbook, model: Any, prompts: torch.Tensor) -> Generated:
    return generate(model, prompts, int(logbook.config.study_options["new_tokens"]), logbook.device)
