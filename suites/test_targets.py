"""Which layers should an adapter sit on?

Kinds of layers are found by the model's structure. More layers are more parameters, so the narrow choices are also
trained at the rank at which they have as many parameters as all linear layers. Claim C20.
"""

from __future__ import annotations

import pytest

TARGETS = ("query-value", "attention", "mlp", "all-linear", "all-linear+embeddings")
NARROW = TARGETS[:3]


@pytest.mark.parametrize("targets", TARGETS)
def test_cost(measure, work, targets):
    """Parameters, speed and memory, each at the same rank."""
    measure(work.speed("lora", targets=targets, infer_tokens=0, merge=False), rounds=1)


@pytest.mark.parametrize("targets", TARGETS)
def test_learning(measure, work, targets):
    """Accuracy, each at the same rank."""
    measure(work.short("lora", targets=targets), rounds=work.seeds)


@pytest.mark.parametrize("narrow", NARROW)
def test_equal_parameters(measure, work, narrow):
    """Accuracy, each with as many parameters as all linear layers have."""
    measure(work.short("lora", targets=narrow, as_many_as="all-linear"), rounds=work.seeds)
