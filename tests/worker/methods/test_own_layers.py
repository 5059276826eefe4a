"""Layers of our own are LoRA layers to peft: they start at nothing, add their update, merge, save and load."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from peft.tuners.lora.layer import LoraLayer

from bench.errors import UnsupportedError

OWN = [("mora", {"compression": "rotation"}), ("mora", {"compression": "sharing"}), ("adamix", {"consistency": 0.0})]
BASES = ["plain", "int8", "nf4"]
IDS = torch.arange(1, 33)[None]


@pytest.fixture
def opened(prepared, tiny_config):
    """Open a model with a method's adapter, its trained weights made up if they are to be something."""

    def open_(method, *, trained=True, **settings):
        torch.manual_seed(0)
        model = prepared(tiny_config(method, **settings)).eval()
        for parameter in model.parameters():
            if trained and parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.05)
        return model

    return open_


def said(model):
    with torch.no_grad():
        return model(IDS).logits.float()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("method", "settings"), OWN)
def test_an_untrained_adapter_changes_nothing(opened, method, settings, base):
    """Before the first step the model says bit for bit what it says with the adapter disabled; made up, it does not."""
    untrained, made_up = (opened(method, trained=trained, base=base, **settings) for trained in (False, True))
    with untrained.disable_adapter():
        plain = said(untrained)

    assert torch.equal(said(untrained), plain)
    assert not torch.allclose(said(made_up), plain, rtol=0.1)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("method", "settings"), OWN)
def test_what_a_layer_adds_is_its_update_times_its_input(opened, method, settings, base):
    """The weight that peft merges does to an input what the adapter does, scale included, in layers of every shape."""
    layers = [module for module in opened(method, base=base, **settings).modules() if isinstance(module, LoraLayer)]
    assert {(layer.in_features, layer.out_features) for layer in layers} == {(64, 64), (64, 32), (64, 192), (192, 64)}
    for layer in layers:
        inputs = torch.randn(3, layer.in_features)
        with torch.no_grad():
            added = layer(inputs) - layer.base_layer(inputs)
            torch.testing.assert_close(added, inputs @ layer.get_delta_weight("default").T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method", "settings"), OWN)
def test_a_merged_model_says_what_the_unmerged_one_says(opened, method, settings):
    """Merged in place, taken out again, and merged for good; the mode that training leaves behind does not matter."""
    model = opened(method, **settings)
    before = said(model)
    with model.disable_adapter():
        plain = said(model)

    model.train()
    model.merge_adapter()
    torch.testing.assert_close(said(model.eval()), before, rtol=1e-3, atol=1e-4)
    model.unmerge_adapter()
    with model.disable_adapter():
        torch.testing.assert_close(said(model), plain, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(said(model.merge_and_unload(safe_merge=True)), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("method", "settings"), OWN)
def test_a_saved_adapter_loads_into_a_new_one(opened, tmp_path, method, settings, base):
    """What peft saved, loaded by peft into a model that has just been made, says the same to the last bit."""
    model, other = opened(method, base=base, **settings), opened(method, trained=False, base=base, **settings)
    model.save_pretrained(tmp_path)

    found = peft.set_peft_model_state_dict(other, peft.utils.load_peft_weights(str(tmp_path), device="cpu"))
    assert not found.unexpected_keys
    assert torch.equal(said(other), said(model))


@pytest.mark.parametrize(("method", "settings"), OWN)
def test_a_layer_can_be_copied(opened, method, settings):
    """A copy of a layer has its update, as the study of merging needs it."""
    layer = next(module for module in opened(method, **settings).modules() if isinstance(module, LoraLayer))

    assert torch.equal(copy.deepcopy(layer).get_delta_weight("default"), layer.get_delta_weight("default"))


@pytest.mark.parametrize("method", ["mora", "adamix"])
def test_other_layers_than_linear_ones_are_refused(prepared, tiny_config, method):
    """An embedding is not adapted by LoRA in the method's place without a word."""
    with pytest.raises(UnsupportedError, match=f"adapters of {method}: .* linear layers alone, not for Embedding"):
        prepared(tiny_config(method, targets="all-linear+embeddings"))
