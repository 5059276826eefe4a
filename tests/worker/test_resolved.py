"""What a record says about an adapter is read off peft's own config, under one name for all kinds."""

from __future__ import annotations

import pytest

from bench.schema.catalogue import METHODS
from bench.worker import resolved
from tests.worker.methods.small import SMALL, every_method


def adapter_of(model):
    found = resolved.settings(model)
    return {name.removeprefix("adapter."): value for name, value in found.items() if name.startswith("adapter.")}


@pytest.mark.parametrize("method", [m for m in every_method() if m.values[0] != "full"])
def test_every_adapter_says_its_kind_and_what_was_asked_for(prepared, tiny_config, method):
    """Rank, scale and dropout of the built adapter are those of the config, where the method has them."""
    config = tiny_config(method, **SMALL.get(method, {}))
    found = adapter_of(prepared(config))
    shared = {name for name in ("rank", "alpha", "dropout") if name in METHODS[method].options and config.options[name]}

    assert found["kind"].isupper()
    assert {name: found[name] for name in shared} == {name: config.options[name] for name in shared}


def test_what_is_not_pefts_default_is_named_as_peft_names_it(prepared, tiny_config):
    """A record tells DoRA from LoRA, and a vector bank's size, and holds nothing that is peft's default."""
    assert adapter_of(prepared(tiny_config("dora")))["use_dora"] is True
    assert "use_dora" not in adapter_of(prepared(tiny_config("lora")))
    bank = adapter_of(prepared(tiny_config("vblora", vectors=512, vector_length=32)))
    assert (bank["num_vectors"], bank["vector_length"]) == (512, 32)
    assert "topk" not in bank


def test_the_rank_of_adalora_is_the_one_that_counts(prepared, tiny_config):
    """peft has three ranks there: the record's is the mean at the end, and the one at the start stands beside it."""
    found = adapter_of(prepared(tiny_config("adalora", rank=4, init_rank=10)))

    assert (found["rank"], found["init_r"]) == (4, 10)


def test_prompts_sit_on_no_layer(prepared, tiny_config):
    """A prompt is described by its length; layers and targets are not made up."""
    found = adapter_of(prepared(tiny_config("prompt_tuning", num_virtual_tokens=7)))

    assert found["num_virtual_tokens"] == 7
    assert not {"layers", "targets", "rank"} & set(found)


def test_no_path_of_this_machine_is_described(prepared, tiny_config, tiny_cache):
    """peft's config knows the folder the model came from; the record does not."""
    model = prepared(tiny_config("lora"))

    assert str(tiny_cache) in model.peft_config["default"].base_model_name_or_path
    assert not any(str(tiny_cache) in str(value) for value in resolved.settings(model).values())
