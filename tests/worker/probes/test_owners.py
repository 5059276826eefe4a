"""Each storage of a model and its optimiser is counted once, under what it is."""

from __future__ import annotations

from collections import Counter

import bitsandbytes as bnb
import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench.worker.probes.owners import adapter_parameters, by_address, owners, tensors_in


def sums(model, optimizer=None):
    """Return bytes by category."""
    found = Counter()
    for block in owners(model, optimizer):
        found[block.category] += block.size
    return dict(found)


def llama(tied=False):
    """A Llama of two layers with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=1000,
            tie_word_embeddings=tied, use_cache=False,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "category", "size"),
    [
        (torch.float32, "base_float32", 4),
        (torch.bfloat16, "base_bfloat16", 2),
        (torch.float16, "base_float16", 2),
        (torch.float64, "other", 8),
    ],
)
def test_plain_weights_are_told_by_type(dtype, category, size):
    """Trained or frozen, a weight of the base is told by its type."""
    model = torch.nn.Sequential(torch.nn.Linear(10, 3, bias=False), torch.nn.Linear(3, 5, bias=False)).to(dtype)
    model[0].requires_grad_(False)

    assert sums(model) == {category: (30 + 15) * size}


def test_copies_that_an_optimizer_updates_are_its_state():
    """What is updated in the weights' place is the optimiser's; the weights themselves stay the model's."""
    model = torch.nn.Linear(10, 3, bias=False)
    copy = torch.nn.Parameter(model.weight.detach().double())
    optimizer = torch.optim.SGD([copy, model.weight], momentum=0.9)
    copy.grad, model.weight.grad = torch.ones_like(copy), torch.ones_like(model.weight)
    optimizer.step()

    moments = 30 * (8 + 4)
    found = {"base_float32": 120, "gradients": 120, "optimizer_state": moments + 30 * 8}
    assert sums(model, optimizer) == found


def test_state_under_names_is_the_optimizers():
    """LoRA-FA's optimiser keeps its state by names of layers."""
    model = torch.nn.Linear(10, 3, bias=False)
    optimizer = torch.optim.SGD(model.parameters())
    optimizer.state["layer"] = {"exp_avg": torch.zeros(5)}

    assert sums(model, optimizer) == {"base_float32": 120, "optimizer_state": 20}


def test_what_zero_keeps_of_a_weight_is_a_weight():
    """ZeRO-3 leaves an empty weight, and its part beside it."""
    model = torch.nn.Linear(10, 3, bias=False)
    model.weight.ds_tensor = model.weight.detach().reshape(-1)[:15].clone()
    model.weight.data = torch.empty(0)

    assert sums(model) == {"base_float32": 60}


def test_gradients_state_and_buffers_of_a_normalised_layer():
    """Batch norm of 6 has two weights and buffers of 6, 6 and one int64; AdamW keeps two moments and a count each."""
    model = torch.nn.BatchNorm1d(6)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 6)).sum().backward()
    optimizer.step()

    assert sums(model, optimizer) == {
        "base_float32": 2 * 24,
        "buffers": 2 * 24 + 8,
        "gradients": 2 * 24,
        "optimizer_state": 2 * (24 + 24 + 4),
    }


def test_storages_looked_at_by_many_tensors_count_once():
    """Tied weights, a buffer that is a view of a weight, and weights that are views of one block."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
    whole = torch.zeros(32)
    model[0].weight = torch.nn.Parameter(whole[:16].view(4, 4))
    model[1].weight = torch.nn.Parameter(whole[16:].view(4, 4))
    model.register_buffer("view", whole[3:5])

    assert owners(model) == [(whole.untyped_storage().data_ptr(), 128, "base_float32")]


def test_weights_without_memory_are_left_out():
    """Neither meta tensors nor empty ones have a block."""
    model = torch.nn.Linear(4, 4, device="meta")
    model.register_buffer("nothing", torch.empty(0))

    assert owners(model) == []


def quantised(nested=True):
    """A 4-bit layer of 128 to 64: 4096 payload bytes, 128 blocks of 64."""
    layer = bnb.nn.Linear4bit(128, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
    layer.weight = bnb.nn.Params4bit(
        torch.randn(64, 128), requires_grad=False, quant_type="nf4", blocksize=64, compress_statistics=nested
    )
    return layer.to("cpu")


def test_a_four_bit_layer_by_hand():
    """128 scales of 4 bytes and a table of 16 floats."""
    assert sums(quantised(nested=False)) == {"base_4bit": 4096, "quantization_state": 128 * 4 + 16 * 4}


def test_a_double_quantised_layer_by_hand():
    """128 scales of a byte, the table of 16, an offset, one scale of scales, and its table of 256."""
    assert sums(quantised()) == {
        "base_4bit": 4096,
        "quantization_state": 128 + 16 * 4 + 4 + 4 + 256 * 4,
    }


def test_an_eight_bit_layer_by_hand():
    """A byte a weight and a float a row, before its first call and after it."""
    layer = bnb.nn.Linear8bitLt(64, 32, bias=False, has_fp16_weights=False)
    layer = layer.to("cpu")
    layer.weight = bnb.nn.Int8Params(torch.randn(32, 64), requires_grad=False, has_fp16_weights=False).to("cpu")
    if layer.weight.dtype != torch.int8:
        layer.weight = layer.weight._quantize("cpu")
    expected = {"base_int8": 64 * 32, "quantization_state": 32 * 4}

    assert sums(layer) == expected
    layer(torch.randn(2, 64))
    assert sums(layer) == expected


def test_eight_bit_optimiser_state_includes_its_tables():
    """Two moments of a byte each, their scales, and the two tables that all weights share."""
    model = torch.nn.Linear(128, 64, bias=False)
    optimizer = bnb.optim.AdamW8bit(model.parameters(), min_8bit_size=1)
    optimizer.init_state(optimizer.param_groups[0], model.weight, 0, 0)  # the update itself needs a kernel
    blocks = 128 * 64 // 256

    assert sums(model, optimizer)["optimizer_state"] == 2 * 128 * 64 + 2 * 4 * blocks + 2 * 256 * 4


def wrapped(**settings):
    """Wrap a Llama with the adapter that `settings` describe."""
    kind = settings.pop("kind")
    return peft.get_peft_model(llama(settings.pop("tied", False)), kind(task_type="CAUSAL_LM", **settings))


ADAPTERS = {
    "lora": {"kind": peft.LoraConfig, "target_modules": ["q_proj", "v_proj"]},
    "dora": {"kind": peft.LoraConfig, "target_modules": "all-linear", "use_dora": True},
    "lora on embeddings": {"kind": peft.LoraConfig, "target_modules": ["embed_tokens", "lm_head"]},
    "a copy of the head": {"kind": peft.LoraConfig, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "some tokens": {"kind": peft.LoraConfig, "target_modules": ["q_proj"], "trainable_token_indices": [1, 2]},
    "ia3": {"kind": peft.IA3Config, "target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "oft": {"kind": peft.OFTConfig, "target_modules": ["q_proj"], "oft_block_size": 8, "r": 0},
    "vera": {"kind": peft.VeraConfig, "target_modules": ["q_proj"]},
    "prompt tuning": {"kind": peft.PromptTuningConfig, "num_virtual_tokens": 4},
    "prefix tuning": {"kind": peft.PrefixTuningConfig, "num_virtual_tokens": 4},
    "llama adapter": {"kind": peft.AdaptionPromptConfig, "adapter_len": 4, "adapter_layers": 1},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_what_peft_adds_and_nothing_else(name):
    """What is not of the bare model is the adapter's, by whatever method; the base is all there, still as base."""
    torch.manual_seed(0)
    model = wrapped(**dict(ADAPTERS[name]))
    bare = sum(parameter.numel() for parameter in llama().parameters())
    added = adapter_parameters(model)
    everything = {id(parameter): parameter for parameter in model.parameters()}

    assert sum(p.numel() for key, p in everything.items() if key not in added) == bare
    trained = [p for p in everything.values() if p.requires_grad]
    assert trained
    assert {id(p) for p in trained} <= added
    assert sums(model)["adapters"] >= sum(p.nbytes for p in trained)


def test_trained_biases_of_the_base_stay_the_bases():
    """bias='all' trains what the base brought; that makes it no adapter."""
    base = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(8, 8), "rest": torch.nn.Linear(8, 8)})
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"], bias="all"))

    assert sums(model) == {"base_float32": 2 * (64 + 8) * 4, "adapters": 2 * 2 * 8 * 4}


def test_a_base_without_peft_has_no_adapter():
    """Names alone make none."""
    model = torch.nn.ModuleDict({"lora_A": torch.nn.Linear(2, 2, bias=False)})

    assert adapter_parameters(model) == set()
    assert sums(model) == {"base_float32": 16}


def test_tensors_are_found_however_deep():
    """State in lists, tuples and mappings counts; numbers do not."""
    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)

    assert list(tensors_in({"a": [one, (two, {"b": three})], "step": 4, "c": None})) == [one, two, three]


def test_addresses_lead_to_categories():
    """The same facts by address."""
    model = torch.nn.Linear(2, 2, bias=False)

    assert by_address(owners(model)) == {model.weight.data_ptr(): "base_float32"}
