"""One recorded optimiser step, wired as a run wires it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.worker.probes.attribution import Attribution, replay
from bench.worker.probes.head import head_marks
from bench.worker.probes.owners import by_address, owners
from bench.worker.probes.recorder_cpu import CpuRecorder
from bench.worker.probes.trace import Trace


def traced_step(
    model: Any, optimizer: torch.optim.Optimizer, losses: list[Callable[[], torch.Tensor]]
) -> tuple[Attribution, Trace, dict[str, int]]:
    """Make a step of one micro-batch a loss; return what was found, its trace, and the true sizes by category."""
    known: dict[str, dict[int, str]] = {}
    before = owners(model, optimizer)
    with CpuRecorder() as recorder, head_marks(model, recorder.mark):
        for loss in losses:
            recorder.mark("forward")
            value = loss()
            recorder.mark("backward")
            value.backward()
            del value
        known["optimizer"] = by_address(owners(model, optimizer))
        recorder.mark("optimizer")
        optimizer.step()
        known["end"] = by_address(owners(model, optimizer))
        recorder.mark("end")
        truth = sizes(model, optimizer)
        optimizer.zero_grad(set_to_none=True)
    assert recorder.trace is not None, recorder.absent
    return replay(recorder.before(before), recorder.trace, known), recorder.trace, truth


def sizes(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Bytes counted without the code under test: elements times element size."""
    state = [value for held in optimizer.state.values() for value in held.values() if torch.is_tensor(value)]
    return {
        "gradients": sum(p.grad.nbytes for p in model.parameters() if p.grad is not None),
        "optimizer_state": sum(value.nbytes for value in state),
        "adapters": sum(p.nbytes for name, p in model.named_parameters() if "lora_" in name),
        "parameters": sum(p.nbytes for p in model.parameters()),
        "buffers": sum(b.nbytes for b in model.buffers()),
    }
