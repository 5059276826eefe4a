"""Does the guide's standard flow (section 5) run as written, and what does its line of trainable parameters say?

transformers' Trainer with the guide's quantisation, adapter and arguments; the number of steps is the lesson's. On a
device that cannot do it as written, what differs is one more run. Table T3, claims C17 and C18.
"""

from __future__ import annotations

from typing import Any

from bench.launch.work import Work
from bench.schema import RunConfig

AS_WRITTEN = {
    "rank": 16, "alpha": 32, "dropout": 0.05, "bias": "none",
    "targets": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    "quant_type": "nf4", "double_quant": True, "compute_dtype": "bfloat16", "dtype": "bfloat16",
    "batch_size": 2, "gradient_accumulation_steps": 4, "learning_rate": 2e-4, "warmup_ratio": 0.0,
    "optimizer": "paged_adamw_8bit", "autocast": "float16",
}  # fmt: skip
"""Sections 5.2 to 5.4; what they leave out is transformers' default."""
WITHOUT_A_GPU = {"optimizer": "adamw_8bit", "autocast": "none", "dtype": "float32", "compute_dtype": "float32"}
"""No managed memory and no float16: the same optimiser resident, and what a CPU computes fastest."""


def parameters(work: Work) -> dict[str, object]:
    """Return the ways this device may run it."""
    if work.predicted:
        return {"differing": "is the Trainer's own loop, which is not simulated; test_guide.py predicts its memory"}
    return {"differing": ("nothing", "device") if work.device == "cpu" else ("nothing",)}


def flow(work: Work, **settings: Any) -> RunConfig:
    """Train by the guide's code for a quarter of a lesson's examples at most."""
    short = work.short("qlora")
    steps = max(4, short.steps * short.batch_size * short.gradient_accumulation_steps // 8)
    made = {"sequence_length": short.sequence_length, "evaluate_items": short.evaluate_items, "timeout_s": 24 * 3600.0}
    return work.study("standard_flow", "qlora", **{**AS_WRITTEN, **made, "steps": steps, **settings})


def test_flow(measure, work, differing):
    """The flow as written, and with what this device lacks exchanged."""
    measure(flow(work, **(WITHOUT_A_GPU if differing == "device" else {})), rounds=1)
