"""Each method trains exactly the weights it is known for, and the record reads it off the model."""

from __future__ import annotations

import pytest
import torch

from bench.errors import UnsupportedError
from bench.worker import resolved

LAYERS = 2
SHAPES = {  # of tiny-llama's linear layers: inputs + outputs
    "q_proj": 64 + 64, "k_proj": 64 + 32, "v_proj": 64 + 32, "o_proj": 64 + 64,
    "gate_proj": 64 + 192, "up_proj": 64 + 192, "down_proj": 192 + 64,
}  # fmt: skip


def test_full_trains_every_weight(prepared, tiny_config):
    """Nothing is frozen."""
    counts = resolved.counts(prepared(tiny_config("full")))

    assert counts["parameters.trainable"] == counts["parameters.total"]


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("rank", [1, 16])
def test_adapters_on_all_linear_layers_have_the_arithmetic_size(prepared, tiny_config, method, rank):
    """A rank-r adapter of an [out, in] layer has r * (in + out) weights, and only those are trained."""
    model = prepared(tiny_config(method, rank=rank))

    assert resolved.counts(model)["parameters.trainable"] == LAYERS * rank * sum(SHAPES.values())
    assert all("lora_" in name for name, p in model.named_parameters() if p.requires_grad)


def test_a_four_bit_weight_counts_as_one(prepared, tiny_config):
    """LoRA and QLoRA of one model have the same total, though two 4-bit weights share a byte."""
    plain, quantised = (resolved.counts(prepared(tiny_config(m))) for m in ("lora", "qlora"))

    assert plain == quantised


def test_named_targets_are_the_layers_adapted(prepared, tiny_config):
    """`targets` with names adapts those layers and no others, and the record lists what was found."""
    described = resolved.settings(prepared(tiny_config("lora", targets="q_proj, v_proj", alpha=8)))

    assert described["adapter.targets"] == "q_proj, v_proj"
    assert described["adapter.layers"] == 2 * LAYERS
    assert described["adapter.alpha"] == 8


def test_targets_that_do_not_exist_are_refused_by_name(prepared, tiny_config):
    """A wrong module name is a result `unsupported` that names it."""
    with pytest.raises(UnsupportedError, match="has no module called query"):
        prepared(tiny_config("lora", targets="query"))


def test_adapters_stay_in_float32_on_a_16_bit_base(prepared, tiny_config):
    """By default peft keeps adapters in float32, and the record shows both types."""
    described = resolved.settings(prepared(tiny_config("lora", dtype="bfloat16")))

    assert (described["base.dtype"], described["trained.dtype"]) == ("bfloat16", "float32")


def test_an_untrained_adapter_changes_nothing(prepared, tiny_config):
    """Before the first step the wrapped model computes what the base computes."""
    ids = torch.arange(1, 9)[None]
    base = prepared(tiny_config("full")).eval()
    wrapped = prepared(tiny_config("lora")).eval()

    with torch.no_grad():
        torch.testing.assert_close(wrapped(ids).logits, base(ids).logits)
