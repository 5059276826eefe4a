"""The greedy loop: transformers' own tokens, with a cache as large as it should be."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from bench.schema.catalogue import TASKS, load
from bench.worker.build import Built
from bench.worker.encoding import Encoder
from bench.worker.studies.inference_tokens import cache_bytes, cache_formula, first_logits, generate, prompts_of


@pytest.fixture
def model(prepared, tiny_config):
    """A tiny base."""
    return prepared(tiny_config()).eval()


@pytest.fixture
def prompts():
    """Two prompts of nine tokens."""
    return torch.randint(5, 200, (2, 9), generator=torch.Generator().manual_seed(0))


def test_tokens_are_those_of_transformers_generate(model, prompts, cpu):
    """The cache of the plain loop is the one that transformers' greedy generation leaves behind."""
    made = generate(model, prompts, 5, cpu)
    theirs = model.generate(
        input_ids=prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=5, min_new_tokens=5,
        do_sample=False, use_cache=True, return_dict_in_generate=True, pad_token_id=0,
    )  # fmt: skip

    for ours, other in zip(made.cache.layers, theirs.past_key_values.layers, strict=True):
        torch.testing.assert_close(ours.keys, other.keys)
        torch.testing.assert_close(ours.values, other.values)
    assert (len(made.later), made.first > 0) == (4, True)


def test_first_logits_are_the_last_positions(model, prompts):
    """Asking for the last position alone gives what the whole pass gives there."""
    with torch.no_grad():
        whole = model(input_ids=prompts).logits[:, -1]

    torch.testing.assert_close(first_logits(model, prompts), whole.float())


@pytest.mark.parametrize("length", [3, 90])
def test_prompts_are_of_equal_length_and_as_many_as_asked(tiny_config, tokenizer, cpu, length):
    """Training examples laid end to end fill as many prompts of any length as a batch has, without padding."""
    config = tiny_config("lora", study="inference", batch_size=5, prompt_tokens=length)
    task = load(TASKS["addition"])
    built = Built(None, task, cpu, Encoder(tokenizer, chat=False), None, [], task.train(0, 8), 1)

    found = prompts_of(built, config)

    assert found.shape == (5, length)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id or not (found == tokenizer.pad_token_id).any()


def test_the_formula_counts_grouped_heads(model, prompts, cpu):
    """Keys and values have the model's key-value heads, which may be fewer than its heads."""
    cache = generate(model, prompts, 4, cpu).cache
    config = model.config

    assert isinstance(cache, DynamicCache)
    assert config.num_key_value_heads < config.num_attention_heads
    assert cache_bytes(cache) == cache_formula(config, sequences=2, tokens=9 + 3, width=4)
