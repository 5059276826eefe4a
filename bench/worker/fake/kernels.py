"""What CUDA kernels take inside one operation, through torch's allocator, beside the tensors they return.

Bytes by operation, all alive at once where the kernel's need is greatest, and released before the operation returns.
They are taken after the results, as most kernels take theirs; norms of lists, and what sorts tokens, take theirs first.
Sizes are those of torch 2.13.

Left out is what is below 64 KiB whatever the size of the tensors (counters, semaphores, sums of blocks of threads) and
what is known to none but NVIDIA's libraries: the rest of cuDNN's workspaces, cuFFT's and cuSOLVER's. So is what no
training here does: sorting and selecting among more than 4096 values, norms of layers over more than 65,536 tokens.
Softmax, cross-entropy, dropout, concatenation and torch's optimisers take nothing. bitsandbytes' operations are not
here either: their own Python runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import Any

import torch

from bench.worker.fake import efficient_buffers, flash_buffers
from bench.worker.fake.backends import strictly_deterministic
from bench.worker.fake.flash_buffers import FLOAT, Shape
from bench.worker.fake.reduction_buffers import column_sum

INDEX = 8
"""Bytes of an int64."""

UNSORTED = 3072
"""Up to so many tokens the gradient of an embedding is added up without sorting them."""

TOKENS_A_PART = 10
"""Equal tokens whose gradients one warp adds up (NROWS_PER_THREAD in EmbeddingBackwardKernel.cu)."""

CHUNK = 65536
"""Values of a list of tensors that one block of threads works on (kChunkSize in MultiTensorApply.cuh)."""


def scratch(name: str, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Sequence[int]:
    """Return the bytes of each temporary of the operation called `name`, none for one that takes none on a GPU."""
    rule = RULES.get(name)
    return rule(args, kwargs, out) if rule and _on_gpu(args[0]) else ()


def _on_gpu(operand: torch.Tensor | Sequence[torch.Tensor]) -> bool:
    first = operand if isinstance(operand, torch.Tensor) else next(iter(operand), None)
    return first is not None and first.device.type == "cuda"


def flash_forward(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> list[int]:
    """Outputs of keys split in parts; see `flash_buffers`. (query, key, value, dropout, ...)."""
    dropout = _argument(args, kwargs, 3, "dropout_p", 0.0)
    return flash_buffers.split_forward(_shape(args[0], args[1]), _torchs_width(args[0]), dropout)


def flash_backward(args: Sequence[Any], *_: Any) -> list[int]:
    """See `flash_buffers`; a gradient that is not dense is copied first. (gradient, query, key, ...).

    aten/src/ATen/native/transformers/cuda/attention_backward.cu, _flash_attention_backward.
    """
    gradient, query, key = args[:3]
    deterministic = strictly_deterministic()
    buffers = flash_buffers.backward(_shape(query, key), _torchs_width(query), deterministic=deterministic)
    return _dense_copy(gradient.transpose(1, 2)) + buffers


def _shape(query: torch.Tensor, key: torch.Tensor) -> Shape:
    batch, heads, length, width = query.shape
    return Shape(batch, heads, key.shape[1], length, key.shape[2], width, query.element_size())


def _torchs_width(query: torch.Tensor) -> int:
    """Return the head width that torch's flash kernels compute with (head_size_rounded)."""
    width = query.shape[-1]
    step = 32 if width <= 128 else 64
    return -(-width // step) * step


def efficient_forward(args: Sequence[Any], *_: Any) -> list[int]:
    """See `efficient_buffers`. (query, key, value, ...)."""
    return efficient_buffers.forward(args[0], args[2])


def efficient_backward(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> list[int]:
    """See `efficient_buffers`; a gradient that is not dense is copied first. (gradient, query, key, value, ...)."""
    dropout = _argument(args, kwargs, 9, "dropout_p", 0.0)
    return _dense_copy(args[0].transpose(1, 2)) + efficient_buffers.backward(args[1], args[2], args[3], dropout)


def cudnn_backward(args: Sequence[Any], *_: Any) -> list[int]:
    """One workspace: the query's gradient and the products' sums in float32. (gradient, query, key, value, ...).

    run_cudnn_SDP_bprop in aten/src/ATen/native/cudnn/MHA.cpp asks for what the plan wants. The part that is public is
    CompositeSDPABackwardNode's in cudnn-frontend, scaled_dot_product_flash_attention.h. There grouped heads also have
    gradients of key and value for every query head (dK_fullhead, dV_fullhead), in the query's type; that they take
    memory is inferred, for they are summed only when all of a group are known. cuDNN may want more.
    """
    gradient, query, key, value = args[:4]
    batch, heads, length, width = query.shape
    size = batch * heads * length * (width + 1) * FLOAT
    if key.shape[1] != heads:
        size += batch * heads * key.shape[2] * (width + value.shape[-1]) * query.element_size()
    return [size] if gradient.stride(-1) == 1 else [gradient.nbytes, size]


def safe_softmax(args: Sequence[Any], *_: Any) -> list[int]:
    """Which scores are masked, and which rows: one byte each. (scores, dimension).

    aten/src/ATen/native/transformers/attention.cpp, _safe_softmax.
    """
    scores, dimension = args[:2]
    return [scores.numel(), scores.numel() // scores.shape[dimension]]


def embedding_backward(args: Sequence[Any], *_: Any) -> list[int]:
    """Where many tokens are sorted: their numbers and places, lists of parts, a gradient in float32 for each part.

    aten/src/ATen/native/cuda/Embedding.cu, embedding_dense_backward_cuda, and embedding_backward_cuda_kernel in
    EmbeddingBackwardKernel.cu. (gradient, tokens, rows, padding, whether rarer tokens weigh more).
    """
    gradient, tokens, rows, _, by_frequency = args[:5]
    count = tokens.numel()
    if count <= UNSORTED and not by_frequency:
        return _dense_copy(gradient)
    segments = min(count, rows)
    parts = count // TOKENS_A_PART + segments
    lists = [count] * (4 if by_frequency else 3) + [segments] * 2 + [parts]
    gradients = parts * gradient.shape[-1] * max(FLOAT, gradient.element_size())
    return [*_dense_copy(gradient), *(length * tokens.element_size() for length in lists), gradients]


def index_put(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> list[int]:
    """Where values are added: positions and their order, each as it was, sorted, and once more while cub sorts.

    aten/src/ATen/native/cuda/Indexing.cu, index_put_with_sort_kernel; the two last are DeviceRadixSort's second
    buffers. (tensor, indices, values, whether to add).
    """
    if not (_argument(args, kwargs, 3, "accumulate", False) or strictly_deterministic()):
        return []
    shapes = [reversed(index.shape) for index in args[1] if index is not None]
    return [math.prod(map(max, zip_longest(*shapes, fillvalue=1))) * INDEX] * 6


def norms_of_list(args: Sequence[Any], *_: Any) -> list[int]:
    """A sum for every chunk of every tensor, in float32, of as many chunks as the largest has.

    aten/src/ATen/native/cuda/ForeachReduceOp.cu, foreach_tensor_norm_cuda. (tensors, ...).
    """
    tensors = args[0]
    chunks = max((-(-tensor.numel() // CHUNK) for tensor in tensors), default=0)
    return [len(tensors) * chunks * max(FLOAT, tensors[0].element_size())] if chunks else []


def sums(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> list[int]:
    """See `reduction_buffers`. (tensor, dimensions, ...)."""
    return column_sum(args[0], _argument(args, kwargs, 1, "dim", None))


def vector_norm(args: Sequence[Any], kwargs: Mapping[str, Any], _: Any) -> list[int]:
    """See `reduction_buffers`. (tensor, order, dimensions, ...)."""
    return column_sum(args[0], _argument(args, kwargs, 2, "dim", None))


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _dense_copy(tensor: torch.Tensor) -> list[int]:
    """Return the bytes of what contiguous() makes of it: nothing where it is."""
    return [] if tensor.is_contiguous() else [tensor.nbytes]


RULES: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any], Any], list[int]]] = MappingProxyType(
    {
        "_scaled_dot_product_flash_attention": flash_forward,
        "_scaled_dot_product_flash_attention_backward": flash_backward,
        "_scaled_dot_product_efficient_attention": efficient_forward,
        "_scaled_dot_product_efficient_attention_backward": efficient_backward,
        "_scaled_dot_product_cudnn_attention_backward": cudnn_backward,
        "_safe_softmax": safe_softmax,
        "embedding_dense_backward": embedding_backward,
        "index_put": index_put,
        "index_put_": index_put,
        "_index_put_impl_": index_put,
        "_unsafe_index_put": index_put,
        "_foreach_norm": norms_of_list,
        "sum": sums,
        "mean": sums,
        "linalg_vector_norm": vector_norm,
    }
)
