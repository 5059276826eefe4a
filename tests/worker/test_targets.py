"""Which layers an adapter sits on, found by a model's structure, whatever it calls them."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import transformers

from bench.errors import UnsupportedError
from bench.schema.config import configure
from bench.worker.methods.lora import LORA
from bench.worker.targets import EMBEDDINGS, WORDS, parameters_a_rank, targets

SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ENDS = {
    "llama": (
        transformers.LlamaConfig(**SMALL, **TOKENS, intermediate_size=48, num_key_value_heads=2),
        {
            "query-value": "q_proj v_proj",
            "attention": "k_proj o_proj q_proj v_proj",
            "mlp": "down_proj gate_proj up_proj",
        },
    ),
    "phi": (
        transformers.PhiConfig(**SMALL, **TOKENS, intermediate_size=48),
        {"query-value": "q_proj v_proj", "attention": "dense k_proj q_proj v_proj", "mlp": "fc1 fc2"},
    ),
    "phi3": (
        transformers.Phi3Config(**SMALL, **TOKENS, intermediate_size=48, num_key_value_heads=2),
        {"attention": "o_proj qkv_proj", "mlp": "down_proj gate_up_proj"},
    ),
    "gpt2": (
        transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
        {"attention": "c_attn c_proj", "mlp": "c_fc c_proj"},
    ),
    "gpt_neox": (
        transformers.GPTNeoXConfig(**SMALL, intermediate_size=48),
        {"attention": "dense query_key_value", "mlp": "dense_4h_to_h dense_h_to_4h"},
    ),
}  # fmt: skip
MIXTRAL = transformers.MixtralConfig(
    **SMALL, **TOKENS, intermediate_size=48, num_key_value_heads=2, num_local_experts=2
)


def opened(settings: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_config(settings)


def ends(names: Any) -> str:
    return " ".join(sorted({name.rpartition(".")[2] for name in names}))


@pytest.mark.parametrize("family", ENDS)
def test_words_mean_the_layers_of_that_kind_in_every_family(family: str) -> None:
    """Attention, feed-forward, and query and value where they are layers of their own, in unlike families."""
    settings, expected = ENDS[family]
    model = opened(settings)

    assert {word: ends(targets(word, model)) for word in expected} == expected


@pytest.mark.parametrize("family", ENDS)
def test_attention_and_mlp_together_are_what_peft_calls_all_linear(family: str) -> None:
    """No layer is forgotten, none is in both, and the output head is in neither."""
    model = opened(ENDS[family][0])
    attention, mlp = (set(targets(word, model) or ()) for word in ("attention", "mlp"))

    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))

    sits_on = {name for name, module in wrapped.get_base_model().named_modules() if hasattr(module, "base_layer")}
    assert attention | mlp == sits_on
    assert not attention & mlp


@pytest.mark.parametrize("family", ["phi3", "gpt2", "gpt_neox"])
def test_a_fused_projection_is_refused_and_named(family: str) -> None:
    """Where query, key and value are one layer, adapting query and value alone is not pretended."""
    with pytest.raises(UnsupportedError, match=r"no layers of their own here.*(qkv_proj|c_attn|query_key_value)"):
        targets("query-value", opened(ENDS[family][0]))


def test_fused_experts_are_no_linear_layers() -> None:
    """A mixture whose experts are one tensor has no feed-forward layers to adapt; attention is as ever."""
    model = opened(MIXTRAL)

    assert ends(targets("attention", model)) == "k_proj o_proj q_proj v_proj"
    with pytest.raises(UnsupportedError, match="experts in one tensor"):
        targets("mlp", model)


def test_a_name_that_no_module_has_is_refused_and_named() -> None:
    """Of names with one that is none, peft would adapt the others and say nothing; here the run says which it is."""
    with pytest.raises(UnsupportedError, match="LlamaForCausalLM has no module called w_proj"):
        targets("q_proj,w_proj", opened(ENDS["llama"][0]))


@pytest.mark.parametrize("tied", [False, True])
def test_with_embeddings_the_adapter_sits_on_both_ends(tied: bool) -> None:
    """The input embedding and the head are adapted too; where they share a weight their adapters share numbers."""
    settings = transformers.LlamaConfig(
        **SMALL, **TOKENS, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=tied
    )
    wrapped = LORA.wrap(opened(settings), lora(targets=EMBEDDINGS))
    inner = wrapped.get_base_model()
    embedding, head = inner.get_input_embeddings(), inner.get_output_embeddings()

    shared = embedding.lora_embedding_B["default"].data_ptr() == head.lora_A["default"].weight.data_ptr()
    assert shared is tied


@pytest.mark.parametrize("word", ["all-linear", "q_proj,v_proj", *WORDS])
def test_parameters_a_rank_are_those_that_peft_trains(word: str) -> None:
    """The count that ranks are matched by is peft's own, for words and for names."""
    model = opened(ENDS["llama"][0])
    expected = 4 * parameters_a_rank(word, model)

    assert trained(LORA.wrap(model, lora(targets=word, rank=4))) == expected


def test_as_many_as_matches_the_count_and_keeps_the_scale() -> None:
    """Query and value get the rank at which they have as many parameters as all linear layers, to half a rank."""
    wide = trained(LORA.wrap(opened(ENDS["llama"][0]), lora(rank=16)))
    narrow = LORA.wrap(opened(ENDS["llama"][0]), lora(rank=16, targets="query-value", as_many_as="all-linear"))
    settings = narrow.peft_config["default"]

    assert abs(trained(narrow) - wide) <= parameters_a_rank("query-value", opened(ENDS["llama"][0])) / 2
    assert settings.r > 16
    assert settings.lora_alpha / settings.r == pytest.approx(2)


def lora(**settings: Any) -> Any:
    return configure(model="tiny-llama", method="lora", task="addition", **settings)


def trained(model: Any) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
