"""Scaled dot-product attention on fake CUDA tensors: the kernel that a GPU would take, asked for by its name.

A build without CUDA cannot choose among CUDA's kernels. The rules are those of select_sdp_backend in
aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, and what is done before a kernel is called is in
aten/src/ATen/native/transformers/attention.cpp (scaled_dot_product_attention, preprocess_mask, pad_last_dim).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

Backend = Literal["flash", "cudnn", "efficient", "math"]

HALF = (torch.float16, torch.bfloat16)
FLASH_WIDEST = 256
"""Widest head of the flash kernels (check_head_dim_size_flash)."""

CUDNN_WIDEST = 128
"""Widest head of cuDNN's kernels before capability 9.0 with new releases (check_cudnn_tensor_shapes)."""

MASK_ALIGNMENT = 16
"""The efficient kernel wants rows of a mask to start at multiples of so many elements (preprocess_mask)."""

HEAD_ALIGNMENT = 8
"""Flash kernels want head widths in multiples of so many elements (pad_last_dim)."""


class Asked(NamedTuple):
    """What decides the kernel: types, widths of query's and value's heads, mask, fewer key heads than query heads."""

    dtype: torch.dtype
    width: int
    value_width: int
    masked: bool
    grouped: bool


def backend(asked: Asked, capability: tuple[int, int]) -> Backend:
    """Choose as priority_order and the `can_use_` functions do, cuDNN first on Hopper and Blackwell data-centre GPUs.

    Flash and cuDNN compute in 16 bits from capability 8.0 on; flash takes no mask. The efficient kernel takes float32
    and masks, but no grouped heads; what is left is computed step by step.
    """
    half, recent = asked.dtype in HALF, capability >= (8, 0)
    same_width = asked.width == asked.value_width
    if half and capability in ((9, 0), (10, 0)) and same_width and asked.width <= CUDNN_WIDEST and not asked.masked:
        return "cudnn"
    if half and recent and not asked.masked and same_width and asked.width <= FLASH_WIDEST:
        return "flash"
    bfloat16_before_ampere = asked.dtype is torch.bfloat16 and not recent
    if not asked.grouped and (half or asked.dtype is torch.float32) and not bfloat16_before_ampere:
        return "efficient"
    return "math"


def scaled_dot_product_attention(capability: tuple[int, int]) -> Callable[..., torch.Tensor]:
    """Return what stands for torch.nn.functional.scaled_dot_product_attention on a GPU of that capability."""
    original = F.scaled_dot_product_attention

    def attention(  # noqa: PLR0913, PLR0917 (torch's signature)
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if query.device.type != "cuda":
            return original(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        query, key, value = (_autocast(tensor) for tensor in (query, key, value))
        mask = None if attn_mask is None else _as_addend(_autocast(attn_mask), query.dtype)
        grouped = enable_gqa and query.shape[-3] != key.shape[-3]
        asked = Asked(query.dtype, query.shape[-1], value.shape[-1], mask is not None, grouped)
        call = CALLS[backend(asked, capability)]
        return call(query, key, value, mask, dropout_p, is_causal, scale)

    return attention


def _autocast(tensor: torch.Tensor) -> torch.Tensor:
    """Cast as autocast does: this function is on its lower-precision list (aten/src/ATen/autocast_mode.h)."""
    if torch.is_autocast_enabled("cuda") and tensor.is_floating_point():
        return tensor.to(torch.get_autocast_dtype("cuda"))
    return tensor


def _as_addend(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn a boolean mask into one that is added, a copy at every call (convert_boolean_attn_mask)."""
    if mask.dtype is not torch.bool:
        return mask
    zero = torch.zeros((), dtype=dtype, device=mask.device)
    return torch.where(mask, zero, torch.full((), float("-inf"), dtype=dtype, device=mask.device))


def _flash(query: Any, key: Any, value: Any, _: Any, dropout: float, causal: bool, scale: Any) -> torch.Tensor:
    width = query.shape[-1]
    missing = -width % HEAD_ALIGNMENT
    if missing:
        query, key, value = (F.pad(tensor, (0, missing)) for tensor in (query, key, value))
    scale = width**-0.5 if scale is None else scale
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_flash_attention(
        query, key, value, dropout, causal, False, scale=scale
    )[0]
    return out[..., :width] if missing else out


def _cudnn(query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: Any) -> torch.Tensor:
    keeps = _needs_gradient(query, key, value)
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_cudnn_attention(
        query, key, value, mask, keeps, dropout, causal, False, scale=scale
    )[0]
    return out


def _efficient(query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: Any) -> torch.Tensor:
    if mask is not None:
        length = mask.shape[-1]
        if length % MASK_ALIGNMENT:
            mask = F.pad(mask, (0, -length % MASK_ALIGNMENT))[..., :length]
        mask = mask.expand(*query.shape[:-1], key.shape[-2])
    keeps = _needs_gradient(query, key, value)
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, mask, keeps, dropout, causal, scale=scale
    )[0]
    return out


def _math(query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: Any) -> torch.Tensor:
    grouped = query.shape[-3] != key.shape[-3]
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, mask, dropout, causal, scale=scale, enable_gqa=grouped
    )[0]
    return out


def _needs_gradient(*tensors: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


CALLS: dict[Backend, Callable[..., torch.Tensor]] = {
    "flash": _flash,
    "cudnn": _cudnn,
    "efficient": _efficient,
    "math": _math,
}
