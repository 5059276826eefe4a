"""Scaled dot-product attention on fake CUDA tensors: the kernel that a GPU would take, asked for by its name.

A build without CUDA cannot choose among CUDA's kernels. What is done before a kernel is called is in
aten/src/ATen/native/transformers/attention.cpp, by the names of whose functions it is done here; which copies torch
2.13 makes was read from its compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)

from bench.worker.fake.backends import HALF, Asked, Backend, Capability, backend

MASK_ALIGNMENT = 8
"""Rows of a mask start at multiples of so many elements for the efficient kernel (preprocess_mask)."""

HEAD_ALIGNMENT = 8
"""Heads are padded to multiples of so many elements for flash kernels (pad_last_dim)."""

Call = Callable[[Asked, float | None], torch.Tensor]


def scaled_dot_product_attention(capability: Capability) -> Callable[..., torch.Tensor]:
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
        query, key, value = (_cast(tensor) for tensor in (query, key, value))
        mask = None if attn_mask is None else _cast(attn_mask)
        asked = Asked(query, key, value, mask, dropout_p, is_causal, enable_gqa)
        call = CALLS[backend(asked, capability)]
        with torch.autocast("cuda", enabled=False):  # what is inside runs below autocast
            return call(asked._replace(mask=_addend(mask, query.dtype)), scale)

    return attention


def _cast(tensor: torch.Tensor) -> torch.Tensor:
    """Cast as autocast does: this function is on its list for lower precision (aten/src/ATen/autocast_mode.h)."""
    if torch.is_autocast_enabled("cuda") and tensor.is_floating_point() and tensor.dtype is not torch.float64:
        return tensor.to(torch.get_autocast_dtype("cuda"))
    return tensor


def _addend(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Make a mask that is added of a boolean one, a copy at every call (convert_boolean_attn_mask)."""
    if mask is None or mask.dtype is not torch.bool:
        return mask
    return torch.where(mask, 0.0, torch.scalar_tensor(-math.inf, dtype=dtype, device=mask.device))


def _flash(asked: Asked, scale: float | None) -> torch.Tensor:
    width = asked.query.shape[-1]
    missing = -width % HEAD_ALIGNMENT
    inputs = [F.pad(tensor, (0, missing)) for tensor in asked.inputs] if missing else asked.inputs
    scale = width**-0.5 if scale is None else scale
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_flash_attention(
        *inputs, asked.dropout, asked.causal, False, scale=scale
    )[0]
    return out[..., :width] if missing else out


def _cudnn(asked: Asked, scale: float | None) -> torch.Tensor:
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_cudnn_attention(
        *asked.inputs, asked.mask, asked.takes_gradient(), asked.dropout, asked.causal, False, scale=scale
    )[0]
    return out


def _efficient(asked: Asked, scale: float | None) -> torch.Tensor:
    mask = asked.mask
    if mask is not None:
        mask = _aligned(mask).expand(*asked.query.shape[:-1], asked.key.shape[-2])
    out: torch.Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
        *asked.inputs, mask, asked.takes_gradient(), asked.dropout, asked.causal, scale=scale
    )[0]
    return out


def _aligned(mask: torch.Tensor) -> torch.Tensor:
    """Copy a mask whose rows start anywhere into wider rows, and take the columns it has (pad_bias)."""
    *strides, last = mask.stride()
    if last == 1 and all(stride % MASK_ALIGNMENT == 0 for stride in strides):
        return mask
    length = mask.shape[-1]
    return F.pad(mask, (0, MASK_ALIGNMENT - length % MASK_ALIGNMENT))[..., :length]


def _math(asked: Asked, scale: float | None) -> torch.Tensor:
    """Do what _scaled_dot_product_attention_math does, in 32 bits, and hold what it holds until it returns.

    Called by its name it would not add the mask in place: it does not dare with a subclass of Tensor, as fake ones are.
    """
    wide = [tensor.float() if tensor.dtype in HALF else tensor for tensor in asked.inputs]
    scale = asked.query.shape[-1] ** -0.5 if scale is None else scale
    root = math.sqrt(abs(scale))
    query, key, value = wide[0] * math.copysign(root, scale), wide[1], wide[2]
    mask = asked.mask
    if asked.causal:
        mask = _addend(
            torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril(), query.dtype
        )
    if asked.grouped:
        key, value = (_repeated(tensor, query.shape[-3]) for tensor in (key, value))
    scores = torch.matmul(query, key.transpose(-2, -1) * root)
    if mask is not None:
        scores.add_(mask)
    scores = torch.ops.aten._safe_softmax(scores, -1)
    if asked.dropout > 0:
        scores = torch.dropout(scores, asked.dropout, True)
    results = scores.to(asked.query.dtype), torch.matmul(scores, value).to(asked.query.dtype)
    return results[1]


def _repeated(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Give every query head a key head of its own (pre_process_group_query_attention_input)."""
    times = heads // tensor.shape[-3]
    return tensor if times == 1 else tensor.repeat_interleave(times, -3)


CALLS: dict[Backend, Call] = {"flash": _flash, "cudnn": _cudnn, "efficient": _efficient, "math": _math}
