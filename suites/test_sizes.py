"""How does cost grow with the model?

The ladder of models, as far as the device goes: on a CPU the smallest; on a GPU all of it, where what is predicted to
need far more than the card has is recorded as that. Predict the rest with --device fake:<gpu>. Claims C03 to C05.
"""

from __future__ import annotations

import pytest

from bench.launch.work import Work
from bench.schema.models import MODELS

METHODS = ("full", "lora", "qlora")
ON_CPU = 500_000_000
"""Parameters a CPU still trains in minutes; with --scale full it gets four times as many."""


def parameters(work: Work) -> dict[str, object]:
    """Return the models of the ladder that this device may try."""
    if work.scale == "smoke":
        return {"size": (work.model,)}
    ladder = sorted((name for name, model in MODELS.items() if model.ladder), key=lambda name: MODELS[name].parameters)
    most = ON_CPU * (4 if work.scale == "full" else 1) if work.device == "cpu" else float("inf")
    found = [name for name in ladder if MODELS[name].parameters <= most]
    return {"size": tuple(dict.fromkeys([*found, work.model]))}


@pytest.mark.parametrize("method", METHODS)
def test_cost(measure, work, size, method):
    """Parameters, speed and memory by model and method."""
    measure(work.speed(method, model=size), rounds=1)
