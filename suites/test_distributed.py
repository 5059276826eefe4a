"""What does sharing the work between devices give and cost?

One device, and two that share every batch: a whole model in each (DDP), a part of every weight in each (FSDP2), whose
layers may ask for the next one's weights early, and DeepSpeed's ZeRO. The same sequences a step for all, so that losses
are the same and only time, memory and what is exchanged differ. On a CPU two processes share its cores: what is
exchanged and what each holds is as on two devices, how fast they are is not. Claim C22.
"""

from __future__ import annotations

from typing import Any

from bench.launch.work import Work
from bench.schema import RunConfig

STEPS = {"smoke": 4, "small": 8, "full": 20}
SPREADS = (
    {"strategy": "one"},
    {"strategy": "ddp"},
    {"strategy": "fsdp2"},
    {"strategy": "fsdp2", "forward_prefetch": True},
    {"strategy": "zero2"},
    {"strategy": "zero3"},
)
IN_TURN = {"strategy": "device_map"}
"""The guide's naive pipeline: a part of the layers on each GPU, and one works at a time."""
SIMULATED = ({"strategy": "one"}, {"strategy": "fsdp2"})
MORE = (4, 8)
"""Devices that a thorough session tries besides two, where a machine has them."""


def parameters(work: Work) -> dict[str, object]:
    """Return ways of sharing by method, and more devices than two where that is worth a try."""
    many = work.predicted or (work.scale == "full" and work.device != "cpu")
    return {
        "method": ("full", "lora", "qlora"),
        "spread": SIMULATED if work.predicted else (*SPREADS, IN_TURN) if work.device != "cpu" else SPREADS,
        "world_size": MORE if many else "needs more devices than two: --scale full",
    }


def shared(work: Work, method: str, **settings: Any) -> RunConfig:
    """Train on eight sequences a step, however many share them."""
    small = work.device == "cpu" or work.scale == "smoke"
    own: dict[str, Any] = {} if method == "full" else {"dropout": 0.0}  # which every process would draw for itself
    if method == "qlora":
        own["quant_storage"] = work.dtype
    made = {"batch_size": 8, "sequence_length": 128 if small else 1024, "packing": True, "steps": STEPS[work.scale]}
    return work.study("distributed", method, **{**made, **own, **settings})


def test_two(measure, work, method, spread):
    """One device, and two by every way of sharing."""
    measure(shared(work, method, **spread), rounds=work.rounds)


def test_more(measure, work, method, world_size):
    """More than two devices, weights sharded: how far does it scale?"""
    measure(shared(work, method, strategy="fsdp2", world_size=world_size), rounds=work.rounds)
