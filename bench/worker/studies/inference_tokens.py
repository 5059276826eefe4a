"""Tokens one after another: a plain greedy loop with a key-value cache, every token's time by the host's clock."""

from __future__ import annotations

import inspect
import time
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from bench.schema import RunConfig
from bench.worker.batches import batches
from bench.worker.build import Built
from bench.worker.devices import Device


class Generated(NamedTuple):
    """Seconds to the first token, seconds of each further token, and the cache as the last token left it."""

    first: float
    later: list[float]
    cache: DynamicCache


def generate(model: Any, prompts: torch.Tensor, count: int, device: Device) -> Generated:
    """Generate `count` tokens for each of the prompts [sequences, tokens], all of equal length and nothing padded.

    The device is waited for after every token, as for one who reads along. Only the last position's logits are
    computed, as transformers' generate does.
    """
    cache, words = DynamicCache(config=model.config), _words(model)
    tokens = prompts
    device.synchronize()
    moments = [time.perf_counter()]
    with torch.no_grad():
        for _ in range(count):
            logits = model(input_ids=tokens, use_cache=True, **{words.cache: cache}, **words.last).logits
            tokens = logits[:, -1:].argmax(-1)
            device.synchronize()
            moments.append(time.perf_counter())
    first, *later = (after - before for before, after in pairwise(moments))
    return Generated(first, later, cache)


def prompts_of(built: Built, config: RunConfig) -> torch.Tensor:
    """Return training examples laid end to end, cut to prompts of equal length: token ids [sequences, tokens]."""
    shape = config.but(packing=True, sequence_length=config.study_options["prompt_tokens"])
    sequences = [built.encoder.whole(example) for example in built.training]
    return next(batches(sequences, shape, built.encoder.pad_id)).input_ids


def first_logits(model: Any, prompts: torch.Tensor, **more: Any) -> torch.Tensor:
    """Return the logits of the first new token: float32 [sequences, vocabulary] on the host; `more` goes to forward."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=prompts, **_words(model).last, **more).logits[:, -1].float().cpu()
    return found


class _Words(NamedTuple):
    """What a model's forward calls its cache, and how it is asked for the last position alone."""

    cache: str
    last: dict[str, int]


def _words(model: Any) -> _Words:
    """Read the signature of a model's forward; transformers 5.24 has renamed past_key_values to cache."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = inspect.signature(base.forward).parameters
    return _Words("cache" if "cache" in known else "past_key_values",
                  {"logits_to_keep": 1} if "logits_to_keep" in known else {})  # fmt: skip


def cache_bytes(cache: DynamicCache) -> int:
    """Return the bytes of the keys and values in a cache."""
    return sum(int(tensor.nbytes) for layer in cache.layers for tensor in (layer.keys, layer.values))


def cache_formula(config: Any, sequences: int, tokens: int, width: int) -> int:
    """Return the bytes of keys and values of `tokens` in every layer; `config` is the model's, `width` bytes a value.

    2 x layers x key-value heads x head size x tokens x sequences: one key and one value for each.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * int(config.num_hidden_layers) * int(heads) * int(size) * tokens * sequences * width
