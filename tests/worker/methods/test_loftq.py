"""LoftQ's start: base and adapter together are nearer to the weights than a quantised base alone."""

from __future__ import annotations

import math

import pytest
from peft.tuners.lora.layer import LoraLayer

from bench.worker import resolved
from bench.worker.studies.merging_weights import asked_for


@pytest.fixture
def error(prepared, tiny_config):
    """Return how far base plus adapter are from the stored weights, relative, over all adapted layers."""
    stored = prepared(tiny_config("full"))

    def of(method, **settings):
        away = whole = 0.0
        for name, layer in prepared(tiny_config(method, **settings)).get_base_model().named_modules():
            if isinstance(layer, LoraLayer):
                right = stored.get_submodule(name).weight.detach()
                away += (asked_for(layer) - right).square().sum().item()
                whole += right.square().sum().item()
        return math.sqrt(away / whole)

    return of


@pytest.mark.parametrize("base", ["nf4", "fp4"])
@pytest.mark.parametrize("alpha", [8, 16, 32])
def test_the_start_is_nearer_to_the_weights_than_loras(error, base, alpha):
    """Whatever the scale, at rank 16 more than a quarter of the error is gone that LoRA on 4 bits starts with."""
    assert error("loftq", base=base, alpha=alpha) < 0.75 * error("lora", base=base)


def test_more_rank_and_more_turns_come_nearer(error):
    """Rank 16 leaves less than rank 4; five turns of quantising and decomposing leave less than one."""
    four, sixteen = (error("loftq", base="nf4", rank=rank) for rank in (4, 16))
    turns = error("loftq", base="nf4", iterations=5)

    assert turns < 0.95 * sixteen < 0.95 * four


def test_a_plain_base_takes_the_values_of_4_bits(error, prepared, tiny_config):
    """It errs as one in NF4 does, has its own type, and holds no more than 16 values a block of 64."""
    model = prepared(tiny_config("loftq"))
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))

    assert error("loftq") == pytest.approx(error("loftq", base="nf4"), rel=0.01)
    assert resolved.settings(model)["base.quantization"] == "none"
    assert max(len(block.unique()) for block in layer.base_layer.weight.detach().reshape(-1, 64)) <= 16


def test_a_quantised_base_stays_as_it_was_quantised(prepared, tiny_config):
    """Format, blocks and double quantisation are those of LoRA's base, and so is the number of weights."""
    loftq, lora = (prepared(tiny_config(method, base="nf4")) for method in ("loftq", "lora"))

    assert resolved.settings(loftq) == resolved.settings(lora)
    assert resolved.counts(loftq) == resolved.counts(lora)


def test_a_rank_beyond_a_layers_side_is_filled_up(prepared, tiny_config):
    """Rank 48 on layers with sides of 32: what is beyond starts as LoRA does, with a second matrix of 0."""
    model = prepared(tiny_config("loftq", base="nf4", rank=48, targets="k_proj"))
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))
    second = layer.lora_B["default"].weight

    assert second[:, :32].abs().amax(0).min() > 0
    assert not second[:, 32:].any()
