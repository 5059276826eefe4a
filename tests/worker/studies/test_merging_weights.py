"""What was asked for and what was made: known answers, and peft's own forward as the judge."""

from __future__ import annotations

import copy

import pytest
import torch

from bench.worker.studies.merging_weights import Change, asked_for, changes, dense, drift, remember, totals


@pytest.fixture
def trained(prepared, tiny_config):
    """Return a maker of tiny models with an adapter that does something."""

    def make(method="lora", **settings):
        model = prepared(tiny_config(method, **settings))
        generator = torch.Generator().manual_seed(0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data = torch.randn(parameter.shape, generator=generator) * 0.01
        return model.eval()

    return make


@pytest.mark.parametrize("method", ["lora", "dora"])
@pytest.mark.parametrize("base", ["plain", "nf4", "fp4", "int8"])
def test_what_is_asked_for_is_what_the_layer_computes(trained, method, base):
    """Base plus update, expanded, gives the outputs of the unmerged layer; 8-bit ones round their inputs."""
    layers = remember(trained(method, base=base))
    layer = layers["model.layers.0.mlp.down_proj"]
    inputs = torch.randn(9, layer.in_features, generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        expected, found = layer(inputs), inputs @ asked_for(layer).T

    assert (found - expected).norm() < (2e-2 if base == "int8" else 1e-5) * expected.norm()


@pytest.mark.parametrize("base", ["plain", "nf4", "int8"])
def test_what_is_remembered_is_not_changed_by_a_merge(trained, base):
    """The base's weight stays as it was, though peft merges in place."""
    model = trained(base=base)
    layers = remember(model)
    name, layer = next(iter(layers.items()))
    before = dense(model.get_base_model().get_submodule(name).get_base_layer()).clone()

    merged = model.merge_and_unload()

    assert torch.equal(dense(layer.get_base_layer()), before)
    assert not torch.equal(dense(merged.get_submodule(name)), before)


def test_the_share_that_is_kept_is_exact(trained):
    """Of a merge that makes none, half, or all of the update, none, half or all is kept, and the rest is the error."""
    model = trained()
    layers = remember(model)
    for share in (0.0, 0.5, 1.0):
        result = copy.deepcopy(model).merge_and_unload()
        for name, layer in layers.items():
            base, goal = dense(layer.get_base_layer()), asked_for(layer)
            result.get_submodule(name).weight.data = base + share * (goal - base)

        found = totals(changes(layers, result))

        assert found["merging.update_kept"] == pytest.approx(share, abs=1e-5)
        assert found["merging.update_error"] == pytest.approx(1 - share, abs=1e-5)


def test_totals_are_of_all_layers_together():
    """Norms are summed as squares before they are divided, so that a large layer weighs more than a small one."""
    layers = [Change(100.0, 4.0, 100.0, 4.0, 1.0, 2.0, 0.5), Change(0.0, 12.0, 300.0, 0.0, 3.0, 2.0, 0.25)]

    assert totals(layers) == {
        "merging.update_size": 0.4, "merging.update_kept": 0.25, "merging.update_error": 0.5,
        "merging.weight_error": 0.1, "merging.weight_error_largest": 0.5,
    }  # fmt: skip


def test_an_adapter_that_was_not_trained_asks_for_nothing(prepared, tiny_config):
    """Without an update there is no share of it: None, never 0 or 1."""
    model = prepared(tiny_config("lora"))
    layers = remember(model)

    found = totals(changes(layers, model.merge_and_unload()))

    assert found["merging.update_kept"] is None
    assert found["merging.update_size"] == 0


def test_drift_is_the_bases_own(trained):
    """Nothing has drifted before anything was done, and all of it where the base was doubled, whatever the adapter."""
    model = trained()
    layers = remember(model)
    assert drift(layers, model) == 0

    for name in layers:
        model.get_base_model().get_submodule(name).get_base_layer().weight.data *= 2

    assert drift(layers, model) == pytest.approx(1)


def test_adapters_of_other_kinds_are_not_remembered(prepared, tiny_config):
    """What LoHa asks of a weight is not known here, so none of its layers is compared."""
    assert remember(prepared(tiny_config("loha"))) == {}
