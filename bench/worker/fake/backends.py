"""Which kernel torch's scaled dot-product attention takes on a GPU.

The rules are those that torch 2.13.0 was compiled with for CUDA 13.0 (its default build, with cuDNN 9.20), read from
that build: the tests each kernel has to pass and their limits differ from release to release. By the names of
aten/src/ATen/native/transformers/cuda/sdp_utils.cpp and aten/src/ATen/native/transformers/sdp_utils_cpp.h.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch

Backend = Literal["cudnn", "flash", "efficient", "math"]
Capability = tuple[int, int]

HALF = (torch.float16, torch.bfloat16)
AMPERE: Capability = (8, 0)
NEWEST: Capability = (12, 1)
"""The last capability that the kernels were compiled for (check_*_hardware_support)."""

FLASH_WIDEST = 256
"""Widest head of the flash kernels (check_head_dim_size_flash)."""

CUDNN_STEPS = 16
"""cuDNN drops out in steps of one in so many (check_cudnn_dropout)."""

CUDNN_MOST = 65535
"""Most sequences in a batch, and most heads, that cuDNN takes (check_cudnn_tensor_shapes)."""


class Asked(NamedTuple):
    """One call. Query, key and value are [batch, heads, length, width]; `grouped` is what torch calls enable_gqa."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    dropout: float
    causal: bool
    grouped: bool

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query, key and value."""
        return self.query, self.key, self.value

    def takes_gradient(self) -> bool:
        """Tell whether a backward pass follows (input_requires_grad, should_compute_logsumexp)."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self.inputs)


def backend(asked: Asked, capability: Capability) -> Backend:
    """Return the first kernel that can be used, in torch's order of preference (priority_order, select_sdp_backend)."""
    cuda: Any = torch.backends.cuda
    candidates: list[tuple[Backend, bool]] = [
        ("flash", cuda.flash_sdp_enabled() and _flash(asked, capability)),
        ("efficient", cuda.mem_efficient_sdp_enabled() and _efficient(asked, capability)),
    ]
    if capability[0] in (9, 10):  # check_prefer_cudnn_attention; elsewhere cuDNN comes after what always can be used
        candidates.insert(0, ("cudnn", cuda.cudnn_sdp_enabled() and _cudnn(asked, capability)))
    return next((name for name, usable in candidates if usable), "math")


def _flash(asked: Asked, capability: Capability) -> bool:
    """can_use_flash_attention: 16 bits, no mask, heads of one width up to 256, query as long as key if causal."""
    query, key, value = asked.inputs
    return (
        _fused(asked)
        and AMPERE <= capability <= NEWEST
        and query.dtype in HALF
        and asked.mask is None
        and query.shape[-1] == key.shape[-1] == value.shape[-1] <= FLASH_WIDEST
        and (not asked.causal or query.shape[-2] == key.shape[-2])
        and _flash_backward_fits(asked, capability)
        and _heads(asked)
        and _rows_are_dense(asked)
    )


def _flash_backward_fits(asked: Asked, capability: Capability) -> bool:
    """check_requires_grad_and_head_dim_gt192_constraints_on_sm86_89_or_120: the small cards' shared memory."""
    small = (8, 6) <= capability <= (8, 9) or (12, 0) <= capability <= (12, 1)
    width = asked.query.shape[-1]
    return not (small and asked.takes_gradient()) or width <= 192 or (width > 224 and not asked.dropout)


def _efficient(asked: Asked, capability: Capability) -> bool:
    """can_use_mem_efficient_attention: masks and float32 too, bfloat16 from capability 8.0 on, no grouped heads."""
    query, key, value = asked.inputs
    types = (*HALF, torch.float32) if capability >= AMPERE else (torch.float16, torch.float32)
    step = _alignment(query.dtype, capability)
    offsets = [tensor.storage_offset() for tensor in asked.inputs if tensor.numel()]
    return (
        _fused(asked)
        and (5, 0) <= capability <= NEWEST
        and query.dtype in types
        and query.shape[-1] == key.shape[-1] > 0
        and value.shape[-1] > 0
        and query.shape[-1] % step == value.shape[-1] % step == 0
        and (capability < AMPERE or all(offset % step == 0 for offset in offsets))
        and query.shape[1] == key.shape[1] == value.shape[1]
        and _rows_are_dense(asked, whatever_width=False)
    )


def _alignment(dtype: torch.dtype, capability: Capability) -> int:
    """Return the elements that widths and offsets are multiples of (minimum_gemm_alignment)."""
    half = dtype in HALF
    tensor_cores = capability >= AMPERE or (capability[0] == 7 and half)
    if tensor_cores:
        return 8 if half else 4
    return 1


def _cudnn(asked: Asked, capability: Capability) -> bool:
    """can_use_cudnn_attention: 16 bits, masks too, heads up to 128 wide and on Hopper up to 256."""
    query, key, value = asked.inputs
    widths = query.shape[-1], value.shape[-1]
    return (
        _fused(asked)
        and AMPERE <= capability <= NEWEST
        and query.dtype in HALF
        and not strictly_deterministic()
        and float(asked.dropout * CUDNN_STEPS).is_integer()
        and _mask_fits(asked)
        and max(query.shape[0], query.shape[1]) <= CUDNN_MOST
        and max(widths) <= _cudnn_widest(widths, capability)
        and all(width % 8 == 0 for width in widths)
        and key.shape[-2] != 1
        and (not asked.dropout or query.shape[-2] != 1)
        and _heads(asked)
        and _rows_are_dense(asked)
    )


def _cudnn_widest(widths: tuple[int, int], capability: Capability) -> int:
    """check_cudnn_tensor_shapes, with cuDNN 9.11 or later."""
    if capability == (9, 0):
        return 256
    return 192 if capability[0] == 10 and widths == (192, 128) else 128


def strictly_deterministic() -> bool:
    """Tell whether kernels that are not deterministic are forbidden, and not only warned of."""
    return torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()


def _mask_fits(asked: Asked) -> bool:
    """check_attn_mask_shape: two or four dimensions that are equal or broadcast, and no gradient."""
    mask, query, key = asked.mask, asked.query, asked.key
    if mask is None:
        return True
    full = (query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    pairs = zip(mask.shape, full[-mask.dim() :], strict=False)
    return not mask.requires_grad and mask.dim() in (2, 4) and all(size in (1, whole) for size, whole in pairs)


def _fused(asked: Asked) -> bool:
    """What all but the plain computation ask: one type, four dimensions, one batch, no empty sequence."""
    query, key, value = asked.inputs
    return (
        query.dtype == key.dtype == value.dtype
        and query.dim() == key.dim() == value.dim() == 4
        and query.shape[0] == key.shape[0] == value.shape[0]
        and query.shape[-2] != 0
        and key.shape[-2] != 0
    )


def _heads(asked: Asked) -> bool:
    """check_batch_size_and_num_heads_dense: as many heads of each, or a divisor where that was asked for."""
    query, key, value = (tensor.shape[1] for tensor in asked.inputs)
    return (asked.grouped and key == value and query % key == 0) or query == key == value


def _rows_are_dense(asked: Asked, *, whatever_width: bool = True) -> bool:
    """check_last_dim_stride_equals_1_dense, of the mask too."""
    dense = all(tensor.stride(-1) == 1 for tensor in asked.inputs)
    dense = dense or (whatever_width and asked.query.shape[-1] == 1)
    return dense and (asked.mask is None or asked.mask.stride(-1) == 1)
