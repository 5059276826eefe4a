"""The catalogue's architectures against transformers: the classes exist, and count what the checkpoints count."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoConfig

from bench.schema.models import MODELS, architecture
from bench.worker.fetch import tiny

FULL, SLIDING = "full_attention", "sliding_attention"

OF_TEXT = [name for name, model in MODELS.items() if not model.images]


@pytest.fixture
def said() -> Any:
    """What transformers warns of from here on, also what it would say only once."""
    logger = logging.getLogger("transformers")
    heard: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    before = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(handler)
    transformers.utils.logging.warning_once.cache_clear()
    yield heard
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", OF_TEXT)
def test_a_shell_has_the_checkpoints_parameters(name, said):
    """Config and class are made without a warning, and hold exactly the checkpoint's parameters, tied ones once."""
    facts = architecture(name)
    with torch.device("meta"):
        shell = getattr(transformers, facts["architectures"][0])(AutoConfig.for_model(**facts))

    assert sum(weight.numel() for weight in shell.parameters()) == MODELS[name].parameters
    tied = shell.get_output_embeddings().weight is shell.get_input_embeddings().weight
    assert tied == facts["tie_word_embeddings"]
    assert said == []


@pytest.mark.parametrize("name", OF_TEXT)
def test_every_fact_reaches_the_config(name):
    """No fact is misspelt or overridden: the config says what the file says."""
    facts = architecture(name)
    config = AutoConfig.for_model(**facts)
    known = set(type(config)().to_dict())

    assert set(facts) - known <= {"sliding_window_pattern"}
    dtype = getattr(torch, facts.pop("dtype"))
    assert config.dtype == dtype
    assert {key: getattr(config, key) for key in facts} == facts


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("gemma-2-27b", [SLIDING, FULL]),
        ("gemma-3-1b", [SLIDING] * 5 + [FULL]),
        ("qwen2-7b", [FULL]),
        ("qwen2.5-72b", [FULL]),
        ("qwen3-32b", [FULL]),
        ("smollm3-3b", [FULL]),
    ],
)
def test_layers_attend_in_the_published_pattern(name, period):
    """Where layers differ in how far they look back, the pattern is the one of the model's paper."""
    config = AutoConfig.for_model(**architecture(name))
    layers = config.num_hidden_layers
    assert config.layer_types == (period * layers)[:layers]


def test_every_fourth_layer_of_smollm3_has_no_rotation():
    """SmolLM3 leaves rotary embeddings out of each fourth layer."""
    assert AutoConfig.for_model(**architecture("smollm3-3b")).no_rope_layers == [1, 1, 1, 0] * 9


def test_the_tiny_model_is_the_one_that_fetching_builds():
    """Predicted and run, tiny-llama is one model."""
    facts = architecture("tiny-llama")
    tokenizer = tiny.byte_tokenizer()
    built = tiny.shape(len(tokenizer), tokenizer.eos_token_id).to_dict()
    described = AutoConfig.for_model(**facts).to_dict()
    saved = {"architectures": ["LlamaForCausalLM"], "dtype": "float32"}  # what saving the weights adds

    assert described == {**built, **saved}
