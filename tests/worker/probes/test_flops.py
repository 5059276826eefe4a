"""FLOPs come out to the FLOP as torch counts them, for real models built small, and never as a guess."""

from __future__ import annotations

import bitsandbytes as bnb
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.errors import UnsupportedError
from bench.worker.probes.flops import Shape, flops_of_step, shape_of

ROWS, LENGTH = 2, 12
LLAMA_LIKE = {
    "vocab_size": 100, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
FAMILIES = {
    "Llama": LLAMA_LIKE,
    "Qwen2": LLAMA_LIKE,
    "Mistral": {**LLAMA_LIKE, "sliding_window": 8},
    "SmolLM3": {**LLAMA_LIKE, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0},
    "Gemma2": {**LLAMA_LIKE, "head_dim": 16, "sliding_window": 8},
    "GPT2": {"vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0},
    "GPTNeoX": {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                "num_attention_heads": 4},
}  # fmt: skip
ATTENTION = {"GPT2": ["c_attn"], "GPTNeoX": ["query_key_value", "dense"]}


def build(family="Llama", **changes):
    """A model of random weights, ready to train in full."""
    config = getattr(transformers, f"{family}Config")(**{**FAMILIES[family], **changes})
    name = {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM")
    return getattr(transformers, name)(config).train()


def adapted(model, targets="all-linear", rank=4, **settings):
    """Wrap with LoRA adapters."""
    made = LoraConfig(r=rank, target_modules=targets, lora_dropout=0.1, task_type="CAUSAL_LM", **settings)
    return get_peft_model(model, made)


def counted(model, rows=ROWS, length=LENGTH, padding=0):
    """What torch counts in a forward and a backward pass, all attention made of counted products."""
    ids = torch.arange(rows * length).reshape(rows, length) % 90
    mask = torch.ones_like(ids)
    if padding:
        mask[0, -padding:] = 0
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False).loss.backward()
    return counter.get_total_flops()


def expected(model, rows=ROWS, length=LENGTH):
    return flops_of_step(shape_of(model), rows * length, length)


def linear_weights(model):
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear | transformers.Conv1D))


@pytest.mark.parametrize("attention", ["eager", None])
@pytest.mark.parametrize("family", FAMILIES)
def test_full_training_is_exact(family, attention):
    """Every family, with plain attention and with its default, mostly fused, costs what torch counts."""
    model = build(family, attn_implementation=attention)

    assert expected(model) == counted(model)


def test_full_training_is_six_times_the_weights_and_attention():
    """6 N a token and three times attention's forward, by arithmetic on the model's own layers."""
    model = build()
    tokens, attention = ROWS * LENGTH, 2 * 4 * ROWS * LENGTH * LENGTH * 32

    assert expected(model) == 6 * linear_weights(model) * tokens + 3 * attention


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_counts_whether_tied_or_not(tied):
    """A tied output head is a product like any other, and the embedding never is one."""
    model = build(tie_word_embeddings=tied)

    assert shape_of(model).weights == linear_weights(model)
    assert expected(model) == counted(model)


@pytest.mark.parametrize("rank", [1, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_on_all_layers_are_exact(family, rank):
    """LoRA costs what torch counts, in every family and at both ends of rank."""
    model = adapted(build(family), rank=rank)

    assert expected(model) == counted(model)


@pytest.mark.parametrize("input_gradients", [True, False])
@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["k_proj"], ["v_proj"], ["o_proj"], ["down_proj"]])
def test_gradients_stop_where_nothing_wants_them(targets, input_gradients):
    """Which layers are adapted, and whether the embedding's output wants a gradient, decides what backward skips."""
    model = adapted(build(), targets)
    if input_gradients:
        model.enable_input_require_grads()

    assert expected(model) == counted(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_on_attention_alone_are_exact(family):
    """Attention's projections, separate or fused in one layer."""
    model = adapted(build(family), ATTENTION.get(family, ["q_proj", "k_proj", "v_proj", "o_proj"]))

    assert expected(model) == counted(model)


def test_frozen_weights_cost_four_and_adapters_six():
    """With input gradients everywhere LoRA is 4 N + 6 L a token, and without them the first layer's part less."""
    model = adapted(build(), rank=8)
    base = linear_weights(model.get_base_model()) - (adapters := shape_of(model).weight_gradients)
    tokens, attention = ROWS * LENGTH, 2 * 4 * ROWS * LENGTH * LENGTH * 32
    first = 32 * (32 + 16 + 16) + 3 * 8 * 32

    without = expected(model)
    model.enable_input_require_grads()

    assert expected(model) == (4 * base + 6 * adapters) * tokens + 3 * attention
    assert expected(model) - without == 2 * tokens * first


@pytest.mark.parametrize("settings", [{"bias": "all"}, {"bias": "lora_only"}, {"modules_to_save": ["lm_head"]}])
def test_partly_trained_models_are_exact(settings):
    """Biases that train wake the gradients of their layer, and a head that trains is paid in full."""
    model = adapted(build("Qwen2"), ["q_proj", "v_proj"], **settings)

    assert expected(model) == counted(model)


@pytest.mark.parametrize("part", ["layers.1.mlp", "layers.0.input_layernorm", "embed_tokens", "lm_head"])
def test_any_choice_of_trained_weights_is_exact(part):
    """One part of a model trained alone: the last layer, a norm, the embedding, the head."""
    model = build().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part in name)

    assert expected(model) == counted(model)


def test_padding_is_computed_and_counted():
    """A batch with padding costs as much as one without."""
    model = build()

    assert expected(model) == counted(model, padding=5)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("make", [build, lambda: adapted(build())])
def test_recomputation_is_no_work_of_the_model(make, reentrant):
    """Checkpointing adds to what torch counts, and nothing to the model's FLOPs but gradients it asks for."""
    plain, checkpointed = make(), make()
    plain.enable_input_require_grads()
    checkpointed.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    checkpointed.enable_input_require_grads()

    assert expected(checkpointed) == expected(plain) == counted(plain)
    assert counted(checkpointed) > expected(checkpointed)
    assert any(getattr(module, "gradient_checkpointing", False) for module in checkpointed.modules())


SIZES = st.fixed_dictionaries(
    {
        "num_attention_heads": st.sampled_from([2, 4, 6]),
        "num_key_value_heads": st.sampled_from([1, 2]),
        "head_dim": st.sampled_from([2, 4, 8]),
        "hidden_size": st.sampled_from([12, 24, 36]),
        "intermediate_size": st.integers(1, 20),
        "num_hidden_layers": st.integers(1, 3),
        "vocab_size": st.integers(90, 120),
    }
)


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, rank=st.integers(0, 5), rows=st.integers(1, 3), length=st.integers(2, 9))
def test_any_shape_is_exact(sizes, rank, rows, length):
    """Widths, grouped heads, depth, batch and length of any size; rank 0 trains in full."""
    model = build(**sizes)
    if rank:
        model = adapted(model, rank=rank)

    assert expected(model, rows, length) == counted(model, rows, length)


def test_the_formula_gives_what_torch_counted_for_the_design():
    """Numbers of torch 2.13's counter for a four-layer model: full, LoRA with and without input gradients."""
    base, adapters, attention = 3_467_264, 157_696, 2 * 4 * 256
    frozen_first = 3 * 256 * 256 + 3 * 8 * 256
    full = Shape(base, base, base, attention, 2 * attention)
    lora = Shape(base + adapters, base + adapters, adapters, attention, 2 * attention)
    skipping = Shape(base + adapters, base + adapters - frozen_first, adapters, attention, 2 * attention)

    assert flops_of_step(full, 256, 128) == 1_909_456_896 + 3_818_913_792
    assert flops_of_step(lora, 256, 128) == 1_990_197_248 + 2_205_155_328
    assert flops_of_step(skipping, 256, 128) == 1_990_197_248 + 2_101_346_304


@pytest.mark.parametrize("changes", [{}, {"rank": 1, "targets": "q_proj,v_proj"}, {"gradient_checkpointing": True}])
def test_a_four_bit_model_costs_what_its_plain_twin_does(prepared, tiny_config, changes):
    """QLoRA's products are LoRA's, though torch's counter sees nothing of them."""
    plain, quantised = (prepared(tiny_config(method, **changes)) for method in ("lora", "qlora"))

    assert shape_of(quantised) == shape_of(plain)


def test_eight_bit_layers_count_as_what_they_stand_for():
    """LLM.int8 layers, whatever their kernel does, count inputs times outputs."""
    plain = build().requires_grad_(False)
    quantised = build().requires_grad_(False)
    for layer in quantised.model.layers:
        made = bnb.nn.Linear8bitLt(48, 32, bias=False, has_fp16_weights=False)
        made.weight = bnb.nn.Int8Params(layer.mlp.down_proj.weight.data, requires_grad=False)
        layer.mlp.down_proj = made.to("cpu")

    assert shape_of(quantised) == shape_of(plain)


def test_the_precision_of_training_changes_nothing():
    """Casts of mixed precision are no products."""
    model = adapted(build())

    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = shape_of(model)

    assert mixed == shape_of(model)


def test_a_caller_without_gradients_sees_the_same():
    """What training will do is read, whatever the caller's own mode."""
    model = adapted(build())
    with torch.no_grad():
        looked = shape_of(model)

    assert looked == shape_of(model)


@pytest.mark.parametrize(("family", "window"), [("Llama", 0), ("Mistral", 8), ("Gemma2", 8), ("Qwen2", 0)])
def test_sliding_windows_are_named(family, window):
    """Attention counts in full, and the window that makes it less is told."""
    assert shape_of(build(family)).window == window


def test_a_window_that_no_layer_uses_is_none():
    """A config may keep a window's size though all of its layers see everything."""
    assert shape_of(build("Gemma2", layer_types=["full_attention"] * 2)).window == 0


def test_only_adapters_in_use_count():
    """A second, idle adapter and adapters switched off cost nothing."""
    model = adapted(build())
    before = shape_of(model)
    model.add_adapter("idle", LoraConfig(r=8, target_modules=["q_proj"]))

    assert shape_of(model) == before
    with model.disable_adapter():
        assert shape_of(model).weights == shape_of(build()).weights


SPARSE = {**LLAMA_LIKE, "num_local_experts": 4}
STRANGE = {
    "MixtralForCausalLM": (transformers.MixtralConfig, SPARSE, "3 dimensions"),
    "MambaForCausalLM": (transformers.MambaConfig, {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2}, "3"),
    "BloomForCausalLM": (transformers.BloomConfig, {"vocab_size": 100, "hidden_size": 32, "n_layer": 2, "n_head": 4},
                         "torch counts"),
    "T5ForConditionalGeneration": (transformers.T5Config, {"vocab_size": 100, "d_model": 32, "num_layers": 2,
                                                           "num_heads": 4}, "input_ids"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_what_the_formula_does_not_know_is_refused(name):
    """Experts, state spaces, products that hide from the watch and encoders are refused with the reason."""
    kind, sizes, why = STRANGE[name]
    model = getattr(transformers, name)(kind(**sizes))

    with pytest.raises(UnsupportedError, match=f"unknown: .*{why}"):
        shape_of(model)


def test_experts_of_plain_layers_are_refused():
    """A layer that gets some of the tokens only is found by the tokens it gets."""
    model = build()
    layer = model.model.layers[0].mlp.down_proj
    layer.register_forward_pre_hook(lambda _, args: (args[0][:, :1],))

    with pytest.raises(UnsupportedError, match="not run once a token"):
        shape_of(model)


def test_attention_of_another_pattern_is_refused():
    """A product of activations that is neither scores nor context, such as of chunks, has no known growth."""
    model = build()
    layer = model.model.layers[0].mlp.down_proj
    layer.register_forward_hook(lambda _, args, out: out + (torch.zeros(1, 8, 8) @ torch.zeros(1, 8, 8)).sum())

    with pytest.raises(UnsupportedError, match="no attention of all to all"):
        shape_of(model)


@pytest.mark.parametrize("batch", [(1,), (1, 2)])
def test_outer_products_do_not_count(batch):
    """Rotary angles are an outer product in some versions of transformers: no work, and no reason to refuse."""
    model = build()
    before = shape_of(model)
    angles, positions = torch.ones(*batch, 8, 1), torch.ones(1, 1, 3)
    model.model.norm.register_forward_hook(lambda _, args, out: out + (angles @ positions).sum())

    assert shape_of(model) == before


def test_weights_quantised_by_others_are_refused():
    """Kernels that neither the watch nor torch's counter sees cannot be checked."""
    model = build()
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}

    with pytest.raises(UnsupportedError, match="quantised by something else"):
        shape_of(model)


@pytest.mark.parametrize("breaks", [False, True])
def test_a_look_leaves_no_trace(breaks):
    """Weights, gradients, random state, hooks, modes, attention and checkpointing are as before, also on a failure."""
    model = adapted(build(attn_implementation="sdpa"))
    model.gradient_checkpointing_enable()
    model.base_model.model.model.layers[0].eval()
    if breaks:
        model.base_model.model.lm_head.register_forward_hook(lambda *_: 1 / torch.zeros(2, 3) @ torch.zeros(2, 3))
    before, random = _state(model), torch.get_rng_state()

    if breaks:
        with pytest.raises(UnsupportedError, match="unknown"):
            shape_of(model)
    else:
        shape_of(model)

    assert torch.equal(torch.get_rng_state(), random)
    assert _state(model) == before
    assert torch.is_grad_enabled()


def _state(model):
    modules = [
        (
            m.training, getattr(m, "gradient_checkpointing", None), len(m._forward_hooks), len(m._forward_pre_hooks),
            str(getattr(getattr(m, "config", None), "_attn_implementation", None)),
        )
        for m in model.modules()
    ]  # fmt: skip
    return modules, [(p.sum().item(), p.grad, p.requires_grad) for p in model.parameters()]


def test_quantised_layers_keep_no_hooks(prepared, tiny_config):
    """The hooks that stand for hidden products are gone after a look."""
    model = prepared(tiny_config("qlora"))
    before = _state(model)

    shape_of(model)

    assert _state(model)[0] == before[0]
