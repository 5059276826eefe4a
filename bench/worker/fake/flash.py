"""flash-attn 2 on fake CUDA tensors: allocates what the package's CUDA interface allocates, and computes nothing.

Sizes follow mha_fwd and mha_bwd of csrc/flash_attn/flash_api.cpp (flash-attn 2.7).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from transformers import modeling_flash_attention_utils as utilities

from bench.errors import UnsupportedError
from bench.worker.fake.replace import replaced

ROWS = 128
"""Sequence lengths are rounded up to so many rows in what the backward pass keeps aside (seqlen_q_rounded)."""


def rounded_width(width: int) -> int:
    """Return the head width that kernels compute with: multiples of 32, above 128 of 64 (head_size_rounded)."""
    step = 32 if width <= 128 else 64
    return -(-width // step) * step


class FlashAttention(torch.autograd.Function):
    """Takes query [batch, length, heads, width], key and value with as many heads or fewer."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Allocate the output, the log-sum-exp [batch, heads, length] in float32, and the state of the generator."""
        batch, length, heads, _ = query.shape
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        sums = query.new_empty((batch, heads, length), dtype=torch.float32)
        generator = query.new_empty(2, dtype=torch.int64)
        ctx.save_for_backward(query, key, value, out, sums, generator)
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Allocate gradients, the sums of products, the query's gradient in float32, and gradients of all heads."""
        query, key, value, *_ = ctx.saved_tensors
        batch, length, heads, width = query.shape
        rows = -(-length // ROWS) * ROWS
        gradients = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        aside = [
            query.new_empty((batch, heads, rows), dtype=torch.float32),
            query.new_empty((batch, rows, heads, rounded_width(width)), dtype=torch.float32),
        ]
        if key.shape[2] != heads:
            aside += [query.new_empty((batch, key.shape[1], heads, width)) for _ in ("key", "value")]
        return gradients


def flash_attn_func(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, deterministic: bool = False, **_: Any
) -> torch.Tensor:
    """Stand for flash_attn.flash_attn_func; what is computed does not matter, only of what size."""
    if deterministic:
        raise UnsupportedError("flash_attention_2 in its deterministic form is not simulated: its buffers differ.")
    out: torch.Tensor = FlashAttention.apply(query, key, value)  # type: ignore[no-untyped-call]
    return out


def flash_attn_varlen_func(
    *_: Any, dropout_p: float = 0.0, window_size: Any = None, softcap: float = 0.0, deterministic: bool = False
) -> NoReturn:
    """Refuse: how many tokens are no padding is in the data. Transformers reads off its parameters what it may pass."""
    del dropout_p, window_size, softcap, deterministic
    raise UnsupportedError("flash_attention_2 with padding cannot be simulated: its shapes depend on the data.")


def unpadded(*_: Any, **__: Any) -> NoReturn:
    """Refuse, like `flash_attn_varlen_func`."""
    flash_attn_varlen_func()


@contextmanager
def patches() -> Iterator[None]:
    """Let transformers find flash-attn 2 within the block."""
    known = utilities.FLASH_ATTENTION_COMPATIBILITY_MATRIX[2]
    available = known["general_availability_check"]
    found = flash_attn_func, flash_attn_varlen_func, None, unpadded, unpadded
    known["general_availability_check"] = lambda: True
    try:
        with (
            replaced(utilities, "_lazy_imports", lambda *_, **__: found),
            replaced(utilities, "_loaded_implementation", None),
        ):
            yield
    finally:
        known["general_availability_check"] = available
