"""A step of the real loop trains what a method trains, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from bench.worker import resolved
from bench.worker.batches import padded
from bench.worker.encoding import Tokens
from bench.worker.loop import Trainer
from tests.worker.methods.small import SMALL, every_method


def batch():
    """Two sequences of which one is padded."""
    ids = [list(range(1, 17)), list(range(40, 52))]
    return padded([Tokens(row, row) for row in ids], pad_id=0)


def weights(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("method", every_method())
def test_a_step_changes_the_trained_weights_and_no_others(prepared, tiny_config, cpu, method):
    """After two steps every weight that had a gradient has moved, every other one is what it was."""
    config = tiny_config(method, steps=4, learning_rate=1e-2, warmup_ratio=0.0, **SMALL.get(method, {}))
    model = prepared(config).train()
    trainer = Trainer(model, config, cpu)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    had_gradient = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient, name=name: had_gradient.add(name) if gradient.any() else None)
    before = weights(model)

    losses = [trainer.step([batch()])[0].item() for _ in range(2)]

    changed = {name for name, weight in weights(model).items() if not torch.equal(weight, before[name])}
    assert all(math.isfinite(loss) for loss in losses)
    assert had_gradient
    assert had_gradient <= changed <= trained


@pytest.mark.parametrize("method", every_method())
def test_a_16_bit_base_trains_as_many_weights(prepared, tiny_config, method):
    """What is trained does not depend on the base's type; peft's cast of adapters makes nothing trainable."""
    settings = SMALL.get(method, {})
    wide, narrow = (prepared(tiny_config(method, dtype=dtype, **settings)) for dtype in ("float32", "bfloat16"))

    assert resolved.counts(wide) == resolved.counts(narrow)


CHECKPOINTED = [m for m in every_method() if m.values[0] not in {"prefix_tuning", "cartridge", "xlora"}]
"""All but those that are refused; see test_refusals.py."""


@pytest.mark.parametrize("method", CHECKPOINTED)
def test_recomputing_activations_does_not_change_what_is_learnt(prepared, tiny_config, cpu, method):
    """With gradient checkpointing a step has the same loss and gradient norm."""
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        config = tiny_config(method, gradient_checkpointing=checkpointing, **SMALL.get(method, {}))
        model = prepared(config).train()
        assert resolved.settings(model)["base.gradient_checkpointing"] is checkpointing
        torch.manual_seed(1)
        found.append(Trainer(model, config, cpu).step([batch()]))

    torch.testing.assert_close(found[0], found[1])
