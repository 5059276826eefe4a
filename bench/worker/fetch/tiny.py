"""A Llama of a hundred thousand random weights with a tokenizer of bytes: for tests, built in a second."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bench import cache
from bench.cache import Manifest

END = "<|end|>"
SEED = 0


def build(name: str) -> Manifest:
    """Build the model into the cache; the same weights on every machine with the same torch."""
    return generated(name, _make)


def generated(name: str, make: Callable[[Path], None]) -> Manifest:
    """Put into the cache what `make` writes into a folder, with torch's generator at a seed of its own."""
    target = cache.model_folder(name) / "weights"
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".weights-", dir=target.parent))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        make(scratch)
    shutil.rmtree(target, ignore_errors=True)
    scratch.replace(target)
    return Manifest(name=name, folder=str(target), source="generated", origin=name, revision=f"seed:{SEED}")


def _make(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(shape(len(tokenizer), tokenizer.eos_token_id)).save_pretrained(folder)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a byte and one for the end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {END: 0, **{letter: n for n, letter in enumerate(alphabet, start=1)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)


def shape(vocabulary: int, end: int) -> LlamaConfig:
    """Two layers of 64, widths that 4-bit blocks of 64 divide."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
