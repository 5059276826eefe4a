"""What peft, as it is installed, does not do is a result `unsupported` in peft's words."""

from __future__ import annotations

from importlib.util import find_spec

import peft
import pytest

from bench.errors import BadValueError, UnsupportedError


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("prefix_tuning", {"gradient_checkpointing": True}, "PREFIX_TUNING does not work with gradient checkpointing"),
        ("cartridge", {"gradient_checkpointing": True}, "CARTRIDGE does not work with gradient checkpointing"),
        ("vblora", {"vector_length": 256}, "must be divisible by `vector_length`"),
        ("c3a", {"block_size": 256}, "block size should be a factor of the input size"),
        ("shira", {"rank": 32}, "more shira params than the total"),
        ("osf", {"rank": 32}, "effective_rank"),
        ("lora_orthogonal", {"rank": 3}, "rank to be even"),
        ("adalora", {"tinit": 10, "steps": 10}, "schedule values"),
        ("xlora", {"bias": "all"}, "bias"),
        ("glora", {"targets": "embed_tokens"}, "does not support this layer type"),
    ],
)
def test_a_refusal_names_the_method_and_quotes_peft(prepared, tiny_config, method, settings, said):
    """Settings that do not fit the model or each other end with peft's own explanation."""
    with pytest.raises(UnsupportedError, match=f"adapters of {method}: .*{said}"):
        prepared(tiny_config(method, **settings))


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("xlora", {"gradient_checkpointing": True}, "X-LoRA does not work with gradient checkpointing"),
        ("xlora", {"base": "nf4"}, "routes X-LoRA's experts on plain layers alone, and not on Linear4bit"),
        ("xlora", {"base": "int8"}, "and not on Linear8bitLt"),
        ("loftq", {"base": "int8"}, "loftq has no start for Linear8bitLt"),
        ("loftq", {"targets": "all-linear+embeddings"}, "loftq has no start for Embedding"),
        ("loftq", {"device": "fake:l40s"}, "loftq starts from the model's weights, and a prediction has none"),
    ],
)
def test_what_a_method_cannot_start_from_is_told_before_it_trains(prepared, tiny_config, method, settings, said):
    """A base, a setting or a device that the method has no form for is unsupported, and its record says which."""
    with pytest.raises(UnsupportedError, match=said):
        prepared(tiny_config(method, **settings))


@pytest.mark.skipif(find_spec("sklearn") is not None, reason="scikit-learn is installed")
def test_a_missing_package_is_named(prepared, tiny_config):
    """AdaMSS says that it needs scikit-learn."""
    with pytest.raises(UnsupportedError, match="adamss: scikit-learn is required"):
        prepared(tiny_config("adamss"))


def test_a_peft_without_the_method_says_so(prepared, tiny_config, monkeypatch):
    """An older peft has fewer methods; the refusal names its version, what it lacks and what for."""
    monkeypatch.delattr(peft, "VeraConfig")

    with pytest.raises(UnsupportedError, match=f"peft {peft.__version__} has no VeraConfig, which vera needs"):
        prepared(tiny_config("vera"))


def test_an_adapter_without_a_trained_weight_is_refused(prepared, tiny_config, monkeypatch):
    """Where peft wraps a model and leaves nothing to train, the run ends with the method's and the targets' names."""
    wrap = peft.get_peft_model
    monkeypatch.setattr(peft, "get_peft_model", lambda *given, **named: wrap(*given, **named).requires_grad_(False))

    with pytest.raises(UnsupportedError, match=r"lora on targets='q_proj' leaves .* without a single trained weight"):
        prepared(tiny_config("lora", targets="q_proj"))


def test_tokens_that_are_no_numbers_are_a_mistake(prepared, tiny_config):
    """A token is named by its id."""
    with pytest.raises(BadValueError, match="tokens='hello'"):
        prepared(tiny_config("trainable_tokens", tokens="hello"))
