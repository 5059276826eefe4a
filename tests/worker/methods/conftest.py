"""What peft is given, caught on the way to a model of Llama-3.2-3B's shape without weights; and one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench.schema.catalogue import METHODS, load
from bench.schema.config import configure


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let no thread wait for another: matrices this small gain nothing, and neighbours cost a lot."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def llama_3b() -> torch.nn.Module:
    """Llama-3.2-3B without its weights; the sizes are those of its published config.json."""
    with torch.device("meta"):
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=128256,
                hidden_size=3072,
                intermediate_size=8192,
                num_hidden_layers=28,
                num_attention_heads=24,
                num_key_value_heads=8,
                head_dim=128,
                tie_word_embeddings=True,
                bos_token_id=128000,
                eos_token_id=128001,
            )
        )


@pytest.fixture
def handed_to_peft(llama_3b: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return the peft config, made and checked by peft itself, that a method and its settings lead to."""
    caught: list[Any] = []

    def catch(model: Any, settings: Any, **_: Any) -> Any:
        caught.append(settings)
        return model

    monkeypatch.setattr(peft, "get_peft_model", catch)

    def hand(method: str, **settings: Any) -> Any:
        config = configure(model="llama-3.2-3b", method=method, task="addition", **settings)
        load(METHODS[method]).prepare(llama_3b, config)
        return caught.pop()

    return hand
