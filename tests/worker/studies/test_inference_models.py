"""A base whose adapter is out of the way, and an adapter that does something."""

from __future__ import annotations

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from bench.worker.studies.inference_models import move_weights, taken_out
from bench.worker.studies.inference_tokens import first_logits

PROMPTS = torch.arange(20, 32).reshape(2, 6)


@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "loha", "vera"])
def test_moved_weights_do_something(prepared, tiny_config, method):
    """Also of adapters that start as no change at all, whatever the number is that means so."""
    model = prepared(tiny_config(method)).eval()
    move_weights(model, seed=0)

    with model.disable_adapter():
        base = first_logits(model.get_base_model(), PROMPTS)

    assert (first_logits(model.get_base_model(), PROMPTS) - base).abs().max() > 1e-4


@pytest.mark.parametrize("base", ["plain", "nf4", "int8"])
def test_what_is_taken_out_is_the_base_and_comes_back(prepared, tiny_config, base):
    """Without peft's layers the model is the base to the bit; afterwards it is what it was."""
    model = prepared(tiny_config("lora", base=base)).eval()
    move_weights(model, seed=0)
    before = first_logits(model.get_base_model(), PROMPTS)
    with model.disable_adapter():
        expected = first_logits(model.get_base_model(), PROMPTS)

    with taken_out(model) as bare:
        assert not [module for module in bare.modules() if isinstance(module, BaseTunerLayer)]
        found = first_logits(bare, PROMPTS)

    assert torch.equal(found, expected)
    assert torch.equal(first_logits(model.get_base_model(), PROMPTS), before)


def test_the_adapter_comes_back_after_an_error(prepared, tiny_config):
    """A turn that fails leaves no base behind in the adapter's place."""
    model = prepared(tiny_config("lora")).eval()
    layers = sum(isinstance(module, BaseTunerLayer) for module in model.modules())

    with pytest.raises(RuntimeError), taken_out(model):
        raise RuntimeError

    assert sum(isinstance(module, BaseTunerLayer) for module in model.modules()) == layers > 0
