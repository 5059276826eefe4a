"""The head is marked wherever it is and whatever stands around it."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from bench.worker.probes.head import head_marks

TOKENS = torch.arange(12).reshape(2, 6)


def llama(tied=False):
    """A Llama of two layers with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=1000,
            tie_word_embeddings=tied, use_cache=False,
        )
    )  # fmt: skip


def lora(model, *targets, **settings):
    """Wrap with LoRA on `targets`."""
    return get_peft_model(model, LoraConfig(target_modules=list(targets), task_type="CAUSAL_LM", **settings))


MODELS = {
    "full": llama,
    "tied": lambda: llama(tied=True),
    "lora": lambda: lora(llama(), "q_proj"),
    "lora on the head too": lambda: lora(llama(), "q_proj", "lm_head"),
    "a copy of the head trained": lambda: lora(llama(), "q_proj", modules_to_save=["lm_head"]),
    "tied, lora on both": lambda: lora(llama(tied=True), "embed_tokens", "lm_head"),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_each_pass_marks_the_head_once_on_the_way_and_once_back(kind, checkpointing):
    """Two micro-batches are four marks in turn; gradient checkpointing, which runs layers again, adds none."""
    model = MODELS[kind]()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    seen = []
    with head_marks(model, seen.append):
        for _ in range(2):
            loss = model(input_ids=TOKENS, labels=TOKENS).loss
            seen.append("backward")
            loss.backward()

    assert seen == ["head", "backward", "head_done"] * 2


def test_the_head_begins_before_its_logits_are_there():
    """The mark stands before what the head allocates."""
    model = llama()
    seen = []
    model.lm_head.register_forward_hook(lambda *_: seen.append("logits"))
    with head_marks(model, seen.append):
        model(input_ids=TOKENS)

    assert seen == ["head", "logits"]


def test_the_head_is_done_before_the_layers_below_have_gradients():
    """At `head_done` no trained weight of the layers has its gradient yet."""
    model = llama()
    ready = []

    def mark(name):
        if name == "head_done":
            ready.extend(parameter.grad is not None for parameter in model.model.layers.parameters())

    with head_marks(model, mark):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()

    assert ready
    assert not any(ready)


def test_a_head_that_alone_is_trained_is_never_done():
    """Where the head's input needs no gradient there is no such moment."""
    seen = []
    model = lora(llama(), "lm_head")
    with head_marks(model, seen.append):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()

    assert seen == ["head"]


def test_hooks_are_gone_afterwards_even_after_an_error():
    """Later steps are not marked."""
    seen = []
    model = llama()
    with pytest.raises(ValueError, match="no"), head_marks(model, seen.append):
        raise ValueError("no")
    model(input_ids=TOKENS, labels=TOKENS).loss.backward()

    assert seen == []


def test_a_model_without_a_head_is_left_alone():
    """No head, no marks, no error."""

    class Headless(torch.nn.Linear):
        def get_output_embeddings(self):
            return None

    seen = []
    model = Headless(2, 2)
    with head_marks(model, seen.append):
        model(torch.ones(2))

    assert seen == []
