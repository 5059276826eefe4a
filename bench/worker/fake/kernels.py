"""What CUDA kernels take inside one operation, through torch's allocator, beside the tensors they return.

Bytes by operation, all alive at once and released before the operation returns. Left out is what is below 64 KiB
whatever the size of the tensors: partial sums of reductions, counters, semaphores. cuDNN's attention takes a workspace
whose size cuDNN alone knows; it is not in here. bitsandbytes' operations are not either: their own Python runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bench.worker.fake.flash_buffers import Shape, backward

FLOAT, INDEX = 4, 8
"""Bytes of a float32 and of an int64."""

WIDTH_STEP = 32
"""Torch's flash kernels compute with head widths in multiples of so many (head_size_rounded)."""


def scratch(name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Sequence[int]:  # noqa: ARG001
    """Return the bytes of each temporary of the operation called `name`, none for one that takes none."""
    rule = RULES.get(name)
    return rule(args) if rule else ()


def flash_backward(args: Sequence[Any]) -> Sequence[int]:
    """Sums and the query's gradient in float32, gradients of grouped heads; see `flash_buffers`.

    aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_bwd. [batch, heads, length, width].
    """
    query, key = args[1], args[2]
    batch, heads, length, width = query.shape
    shape = Shape(batch, heads, key.shape[1], length, key.shape[2], width, query.element_size())
    return backward(shape, -(-width // WIDTH_STEP) * WIDTH_STEP, deterministic=False)


def efficient_backward(args: Sequence[Any]) -> Sequence[int]:
    """The products' sums (delta), and the query's gradient in float32 where it is returned in 16 bits.

    aten/src/ATen/native/transformers/cuda/attention_backward.cu, _efficient_attention_backward; the workspace is
    kernel_backward.h's workspace_size: kNeedsAccumGradQ where the output is no float32. [batch, heads, length, width].
    """
    query = args[1]
    batch, heads, length, width = query.shape
    delta = batch * heads * length * FLOAT
    return (delta,) if query.element_size() == FLOAT else (delta, batch * heads * length * width * FLOAT)


def embedding_backward(args: Sequence[Any]) -> Sequence[int]:
    """Indices sorted, their places, both once more while cub sorts.

    aten/src/ATen/native/cuda/Embedding.cu, embedding_dense_backward_cuda, and cub::DeviceRadixSort's second buffers.
    """
    return (args[1].numel() * INDEX,) * 4


RULES: Mapping[str, Callable[[Sequence[Any]], Sequence[int]]] = MappingProxyType(
    {
        "_scaled_dot_product_flash_attention_backward": flash_backward,
        "_scaled_dot_product_efficient_attention_backward": efficient_backward,
        "embedding_dense_backward": embedding_backward,
    }
)
