"""Which layers should an adapter sit on?

Kinds of layers are found by the model's structure. More layers are more parameters, so the narrow choices are also
trained at the rank at which they have as many parameters as all linear layers. Claim C20.
"""

from __future__ import annotations

import pytest

from bench.launch.work import Work

TARGETS = ("query-value", "attention", "mlp", "all-linear", "all-linear+embeddings")
NARROW = TARGETS[:3]


def parameters(work: Work) -> dict[str, object]:
    """Return the kinds of layers, if anything is learned."""
    nothing = "compares what is learned, and a prediction learns nothing"
    return {
        "learned_targets": nothing if work.predicted else TARGETS,
        "narrow": nothing if work.predicted else NARROW,
    }


@pytest.mark.parametrize("targets", TARGETS)
def test_cost(measure, work, targets):
    """Parameters, speed and memory, each at the same rank."""
    measure(work.speed("lora", targets=targets, infer_tokens=0, merge=False), rounds=1)


def test_learning(measure, work, learned_targets):
    """Accuracy, each at the same rank."""
    measure(work.short("lora", targets=learned_targets), rounds=work.seeds)


def test_equal_parameters(measure, work, narrow):
    """Accuracy, each with as many parameters as all linear layers have."""
    measure(work.short("lora", targets=narrow, as_many_as="all-linear"), rounds=work.seeds)
