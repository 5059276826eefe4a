"""What the kernels of FlashAttention 2 keep aside, in torch's build of them and in the flash-attn package. Bytes.

aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp in torch, csrc/flash_attn/flash_api.cpp in flash-attn.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

FLOAT = 4
"""Bytes of a float32, in which sums are kept."""

ROWS = 128
"""Lengths of queries are rounded up to so many rows for what the backward pass keeps (seqlen_q_rounded)."""

QUERY_BLOCK = 64
"""Rows of a block of queries in the kernel that splits keys (num_m_blocks)."""

MOST_SPLITS = 128
FULL = 0.8
"""Keys are split where blocks of queries fill less than this share of two blocks a multiprocessor."""

EFFICIENT = 0.85
"""The fewest splits are taken that reach this share of the best occupancy (num_splits_heuristic)."""


class Shape(NamedTuple):
    """Sizes of one call: heads of queries and of keys, lengths in tokens, width and bytes of an element."""

    batch: int
    heads: int
    key_heads: int
    length: int
    key_length: int
    width: int
    element: int


def backward(shape: Shape, rounded: int, *, deterministic: bool) -> list[int]:
    """mha_bwd: softmax_d, dq_accum, and gradients of key and value for every query head where heads are grouped.

    The deterministic form has one dq_accum for each of several splits of the keys.
    """
    batch, heads, key_heads, length, key_length, width, element = shape
    rows = -(-length // ROWS) * ROWS
    splits = -(-_multiprocessors() // (batch * heads)) if deterministic else 1
    sizes = [batch * heads * rows * FLOAT, splits * batch * heads * rows * rounded * FLOAT]
    if key_heads != heads:
        sizes += [batch * key_length * heads * width * element] * 2
    return sizes


def split_forward(shape: Shape, rounded: int, dropout: float) -> list[int]:
    """set_params_splitkv: log-sum-exp and output in float32 for every split of the keys, none where there is one.

    A single query token over grouped heads is computed as so many tokens as there are query heads to one of keys.
    """
    batch, heads, key_heads, length, key_length, width, _ = shape
    if dropout > 0:
        return []
    if length == 1:
        heads, length = key_heads, heads // key_heads
    block = 256 if width <= 64 else 128 if width <= 128 else 64
    blocks = batch * heads * -(-length // QUERY_BLOCK)
    splits = _splits(blocks, 2 * _multiprocessors(), -(-key_length // block))
    if splits == 1:
        return []
    rows = splits * batch * heads * length
    return [rows * FLOAT, rows * rounded * FLOAT]


def _splits(blocks: int, slots: int, key_blocks: int) -> int:
    """num_splits_heuristic: into how many parts the keys are split so that all slots of the GPU have work."""
    if blocks >= FULL * slots:
        return 1
    most = min(MOST_SPLITS, slots, key_blocks)
    efficiency = {}
    for splits in range(1, most + 1):
        if splits == 1 or -(-key_blocks // splits) != -(-key_blocks // (splits - 1)):
            waves = blocks * splits / slots
            efficiency[splits] = waves / -(-blocks * splits // slots)
    best = max(efficiency.values(), default=0.0)
    return next((splits for splits, share in efficiency.items() if share >= EFFICIENT * best), 1)


def _multiprocessors() -> int:
    count: int = torch.cuda.get_device_properties().multi_processor_count
    return count
