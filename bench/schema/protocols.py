"""Training loops of others, as data: what a benchmark's own loop does that decides its memory.

A protocol is a set of settings of `RunConfig` and of method options, its own `Protocol` among them. Whoever
names one gets all of them, and may change any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bench.schema.catalogue import Scalar
from bench.schema.config import Protocol


@dataclass(frozen=True, slots=True)
class Loop:
    """A named loop: settings of a run, and where all this is written down.

    `options` are its defaults where ours are not peft's: for the options that LoRA and its variants share.
    """

    about: str
    source: str
    settings: Mapping[str, Any]
    options: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))


METAMATH_LONGEST = 696
"""Tokens of the longest sequence. The data set is filtered to 1,300 characters of question and answer; how many tokens
that makes depends on a tokenizer and data that are not part of this package, so it is taken over, not computed."""

METAMATH_LENGTHS = (193, 180, 168, 157, 146, 135, 125, 114, 102, 89, METAMATH_LONGEST, 392)
"""Longest sequence, in tokens, of twelve batches: the shorter half of a bucket of 20, sorted from long to short, after
which the cache is emptied, and the two longest of the bucket that holds the longest sequence of all.

All but that one are assumed: every fourth of 80 draws, in order, from a log-normal distribution with median 195 and
sigma 0.45. They only have to be shorter; that the last before the cache is emptied has at most 128 tokens matters,
as blocks of its key-value cache then come from the small pool and keep no large segment from being given back."""

PROTOCOLS: Mapping[str, Loop] = MappingProxyType({
    "peft-metamath": Loop(
        "PEFT's method comparison on MetaMathQA: batches of 4 in buckets sorted by length, torch's own AdamW, "
        "bfloat16 weights, no autocast, outputs kept until the next forward pass, the cache emptied every 10 steps.",
        "huggingface/peft, method_comparison/MetaMathQA: run.py, utils.py, data.py, default_training_params.json",
        MappingProxyType({
            "dtype": "bfloat16", "autocast": "none", "attention": "sdpa", "optimizer": "adamw",
            "learning_rate": 1e-4, "weight_decay": 0.1, "lr_scheduler_type": "cosine", "max_grad_norm": 1.0,
            "batch_size": 4, "gradient_accumulation_steps": 1, "sequence_length": 768, "packing": False,
            "gradient_checkpointing": False, "steps": 5000, "untimed_steps": 0,
            "protocol": Protocol(
                shapes=tuple((4, length) for length in METAMATH_LENGTHS), padded=True, use_cache=True,
                outputs="forward", zero_grad_first=True, empty_cache_steps=10, evaluate_first=(4, 768),
            ),
        }),
        MappingProxyType({"rank": 8, "alpha": 8, "dropout": 0.0, "targets": "default"}),  # peft's LoraConfig
    ),
})  # fmt: skip
"""Names for `--protocol`."""
