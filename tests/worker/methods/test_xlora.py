"""X-LoRA: experts of their own, shares that a router says, and nothing that peft would merge or lose."""

from __future__ import annotations

from dataclasses import asdict

import peft
import pytest
import torch
from peft.tuners.lora.layer import LoraLayer
from safetensors.torch import load_file

from bench.schema.catalogue import METHODS
from tests.worker.methods.test_options import NOT_PEFTS, another

SETTINGS = [name for name in METHODS["xlora"].options if name not in (*NOT_PEFTS, "bias")]
"""All but `bias`, which peft refuses for several adapters; see test_refusals.py."""

IDS = torch.arange(1, 33)[None]


@pytest.fixture
def opened(prepared, tiny_config):
    return lambda **settings: prepared(tiny_config("xlora", **settings)).eval()


def configs(model):
    """Return all that peft was told: of the router, without folders, and of every expert."""
    tuner = model.base_model
    told = {name: asdict(config) for name, config in tuner.lora_model.peft_config.items() if name != "default"}
    return {**told, "router": {**asdict(tuner.xlora_config), "adapters": sorted(told)}}


@pytest.mark.parametrize("option", SETTINGS)
def test_every_setting_reaches_the_experts_or_the_router(opened, option):
    """With another value peft is told something else."""
    beside = {"targets": "q_proj", "as_many_as": ""} if option != "targets" else {}
    value = "v_proj" if option == "as_many_as" else another(option, METHODS["xlora"].options[option])

    assert configs(opened(**{**beside, option: value})) != configs(opened(**beside))


def test_experts_start_apart_and_change_nothing(opened):
    """Their first matrices differ, as drawn one by one, their second are 0, and the base says what it said."""
    model = opened()
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))
    firsts = [layer.lora_A[str(number)].weight for number in range(4)]

    assert len({first.sum().item() for first in firsts}) == 4
    assert not any(layer.lora_B[str(number)].weight.any() for number in range(4))
    with torch.no_grad():
        with model.disable_adapter():
            plain = model(IDS).logits
        assert torch.equal(model(IDS).logits, plain)


def test_shares_depend_on_the_input_and_sum_to_one(opened):
    """After a pass every token has a share for each expert, other ones than its neighbours."""
    model = opened()
    with torch.no_grad():
        model(IDS)
    shares = model.base_model.get_latest_scalings()

    assert shares.shape == (1, 32, 14, 4)
    torch.testing.assert_close(shares.sum(-1), torch.ones(1, 32, 14))
    assert not torch.allclose(shares[:, 0], shares[:, 1])


def test_what_is_saved_is_every_trained_weight(opened, tmp_path):
    """Bit for bit: each expert's and the router's."""
    model = opened(experts=3)
    model.save_pretrained(tmp_path)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    kept = load_file(tmp_path / "adapter_model.safetensors")

    assert kept.keys() == trained.keys()
    assert any("router" in name or "classifier" in name for name in kept)
    assert all(torch.equal(kept[name], trained[name]) for name in kept)


@pytest.mark.parametrize("way", ["merge_and_unload", "merge_adapter"])
def test_a_mixture_is_not_merged(opened, way):
    """peft would add every expert in full; the refusal says why there is no such weight."""
    with pytest.raises(NotImplementedError, match="depend on the input"):
        getattr(opened(), way)()


def test_pefts_own_saving_still_loses_weights(opened, tmp_path):
    """The day peft saves them whole, ours can go: until then its files hold no router, and experts unlike in size."""
    model = opened()
    peft.PeftModel.save_pretrained(model, str(tmp_path))

    assert not load_file(tmp_path / "adapter_model.safetensors")
