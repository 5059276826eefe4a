"""A checkpoint without weights has the names and shapes of the real one, and no bytes on the GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, GemmaForCausalLM

from bench import cache
from bench.errors import NotFetchedError, UnsupportedError
from bench.schema.config import configure
from bench.schema.models import MODELS
from bench.worker import models
from bench.worker.devices.fake import Fake
from bench.worker.fake.weights import Described, described, shaped_weights

CONFIG = configure(model="tiny-llama", method="full", task="addition", device="fake:t4", dtype="bfloat16")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    return tmp_path


def test_a_fetched_models_own_config_tells_the_shapes(tiny_cache):
    """The names and shapes are those of its checkpoint, in which tied weights are held once."""
    known = described("tiny-llama")
    stored = load_file(Path(cache.manifest("tiny-llama").folder, "model.safetensors"))

    shaped = shaped_weights(known, torch.bfloat16)["state_dict"]

    assert {name: weight.shape for name, weight in shaped.items()} == {name: w.shape for name, w in stored.items()}
    assert {weight.dtype for weight in shaped.values()} == {torch.bfloat16}
    assert known.origin == "config.json of tiny-llama"


def test_the_catalogue_tells_those_of_a_model_that_is_not_here(empty_cache, tiny_cache):
    """tiny-llama has the same shapes by its entry as by its own config."""
    fetched = described("tiny-llama")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(empty_cache))
        known = described("tiny-llama")

    assert known.origin == "architecture tiny-llama of the catalogue"
    ours, theirs = (shaped_weights(one, torch.float32)["state_dict"] for one in (known, fetched))
    assert {name: weight.shape for name, weight in ours.items()} == {name: w.shape for name, w in theirs.items()}


def test_a_model_that_nobody_knows_is_not_made_up(empty_cache):
    """The message says how its architecture can be brought here."""
    with pytest.raises(NotFetchedError, match="ftbench fetch"):
        described("nobodys-model")


def test_an_architecture_that_transformers_lacks_is_refused(empty_cache, tmp_path):
    """By its class's name, in a sentence."""
    (tmp_path / "model").mkdir()
    facts = {"model_type": "llama", "architectures": ["EvilForCausalLM"]}
    (tmp_path / "model" / "config.json").write_text(json.dumps(facts))
    cache.publish(
        cache.Manifest(name="evil", folder=str(tmp_path / "model"), source="folder", origin="evil", revision="sha256:0")
    )

    with pytest.raises(UnsupportedError, match="EvilForCausalLM"):
        described("evil")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_puts_every_weight_on_the_gpu_and_nothing_else(tiny_cache, dtype):
    """The model holds its parameters and buffers there; the checkpoint stays on the host."""
    known = described("tiny-llama")
    with Fake("t4") as device:
        config = CONFIG.but(dtype=str(dtype).removeprefix("torch."))
        model = models.open_model(known.kind, shaped_weights(known, dtype), config, None, device.torch_name)
        held = {tensor.untyped_storage()._cdata: tensor.nbytes for tensor in (*model.parameters(), *model.buffers())}
        devices = {parameter.device for parameter in model.parameters()}
        device.heap.settle()

        assert device.heap.allocator.requested == sum(held.values())
    assert devices == {torch.device("cuda", 0)}
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_a_model_that_makes_tensors_of_numbers_loads_too():
    """Gemma scales its embedding by one, which is not fake by itself on the meta device."""
    settings = AutoConfig.for_model("gemma", hidden_size=64, intermediate_size=128, num_hidden_layers=1, vocab_size=100,
                                    num_attention_heads=2, num_key_value_heads=1, head_dim=32)  # fmt: skip
    known = Described(GemmaForCausalLM, settings, "test")
    with Fake("t4") as device:
        model = models.open_model(known.kind, shaped_weights(known, torch.bfloat16), CONFIG, None, device.torch_name)

        assert model.model.embed_tokens.embed_scale.device.type == "cuda"


@pytest.mark.parametrize("name", [name for name, m in MODELS.items() if m.parameters < 2e9 and not m.images])
def test_smaller_architectures_have_the_parameters_they_are_listed_with(name, empty_cache):
    """Counting shapes gives the catalogue's number; tied weights count once."""
    known = described(name)
    with torch.device("meta"):
        shell = known.kind(known.settings)

    assert sum(parameter.numel() for parameter in shell.parameters()) == MODELS[name].parameters
