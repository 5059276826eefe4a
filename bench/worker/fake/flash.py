"""flash-attn 2 on fake CUDA tensors: allocates what the package's CUDA interface allocates, and computes nothing.

Sizes follow mha_fwd and mha_bwd of csrc/flash_attn/flash_api.cpp, and what is saved FlashAttnFunc of
flash_attn/flash_attn_interface.py (flash-attn 2.7 and 2.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from transformers import masking_utils
from transformers import modeling_flash_attention_utils as utilities

from bench.errors import UnsupportedError
from bench.worker.fake.flash_buffers import Shape, backward, split_forward
from bench.worker.fake.replace import replaced

NAME = "flash_attention_2"
OLDEST = (8, 0)
"""The least capability that flash-attn 2 runs on, Ampere (is_sm8x_min in mha_fwd)."""

HEAD_ALIGNMENT = 8
"""Heads are padded to multiples of so many elements (FlashAttnFunc.forward)."""


def rounded_width(width: int) -> int:
    """Return the head width that kernels compute with (head_size_rounded)."""
    return -(-width // 32) * 32 if width <= 192 else 256


class FlashAttention(torch.autograd.Function):
    """Takes query [batch, length, heads, width], key and value with as many heads or fewer, widths padded."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float, deterministic: bool
    ) -> torch.Tensor:
        """Allocate the output, the log-sum-exp [batch, heads, length] in float32, and the state of the generator."""
        shape = _shape(query, key)
        out = torch.empty_like(query)
        sums = query.new_empty((shape.batch, shape.heads, shape.length), dtype=torch.float32)
        _scratch(query, split_forward(shape, rounded_width(shape.width), dropout))
        generator = query.new_empty(2, dtype=torch.int64)
        ctx.save_for_backward(query, key, value, out, sums, generator)
        ctx.deterministic = deterministic
        return out

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Allocate the gradients, and what is kept aside while they are computed."""
        query, key, value, *_ = ctx.saved_tensors
        gradients = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        shape = _shape(query, key)
        _scratch(query, backward(shape, rounded_width(shape.width), deterministic=ctx.deterministic))
        return *gradients, None, None


def _shape(query: torch.Tensor, key: torch.Tensor) -> Shape:
    batch, length, heads, width = query.shape
    return Shape(batch, heads, key.shape[2], length, key.shape[1], width, query.element_size())


def _scratch(like: torch.Tensor, sizes: list[int]) -> None:
    """Allocate blocks of so many bytes, all at once, and release them."""
    blocks = [like.new_empty(size, dtype=torch.uint8) for size in sizes]
    del blocks


def flash_attn_func(  # noqa: PLR0913, PLR0917 (the package's signature)
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,  # noqa: ARG001 (what is computed does not matter, only of what size)
    causal: bool = False,  # noqa: ARG001
    window_size: tuple[int, int] = (-1, -1),  # noqa: ARG001
    softcap: float = 0.0,  # noqa: ARG001
    alibi_slopes: torch.Tensor | None = None,  # noqa: ARG001
    deterministic: bool = False,
) -> torch.Tensor:
    """Stand for flash_attn.flash_attn_func. Raises `UnsupportedError` for what the package refuses."""
    inputs = [tensor if tensor.stride(-1) == 1 else tensor.contiguous() for tensor in (q, k, v)]
    _check(*inputs)
    width = q.shape[-1]
    missing = -width % HEAD_ALIGNMENT
    if missing:
        inputs = [F.pad(tensor, (0, missing)) for tensor in inputs]
    out: torch.Tensor = FlashAttention.apply(*inputs, dropout_p, deterministic)  # type: ignore[no-untyped-call]
    return out[..., :width] if missing else out


def _check(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
    """Refuse what mha_fwd refuses, and what is not on the fake GPU."""
    if {tensor.device.type for tensor in (query, key, value)} != {"cuda"}:
        raise UnsupportedError(f"{NAME} runs on a GPU only; these tensors are on {query.device.type!r}.")
    capability = torch.cuda.get_device_capability()
    if capability < OLDEST:
        raise UnsupportedError(f"{NAME} needs a GPU of capability 8.0; this one has {capability[0]}.{capability[1]}.")
    if query.dtype not in {torch.float16, torch.bfloat16} or not query.dtype == key.dtype == value.dtype:
        raise UnsupportedError(f"{NAME} computes in float16 and bfloat16, not in {query.dtype}.")
    if query.shape[-1] > 256:
        raise UnsupportedError(f"{NAME} takes heads up to 256 wide, not {query.shape[-1]}.")


def flash_attn_varlen_func(
    *_: Any, dropout_p: float = 0.0, window_size: Any = None, softcap: float = 0.0, deterministic: bool = False
) -> NoReturn:
    """Refuse: how many tokens are no padding is in the data. Transformers reads off its parameters what it may pass."""
    del dropout_p, window_size, softcap, deterministic
    raise UnsupportedError(
        f"{NAME} with padding or packed sequences cannot be simulated: its shapes depend on the data. "
        "Use batches without padding, or attention sdpa."
    )


def unpadded(*_: Any, **__: Any) -> NoReturn:
    """Refuse, like `flash_attn_varlen_func`."""
    flash_attn_varlen_func()


@contextmanager
def patches() -> Iterator[None]:
    """Let transformers find flash-attn 2 within the block, and no other implementation of it."""
    known = utilities.FLASH_ATTENTION_COMPATIBILITY_MATRIX[2]
    masks = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS
    available, mask = known["general_availability_check"], masks[NAME]
    known["general_availability_check"] = lambda: True
    masks[NAME] = _no_mask
    try:
        with replaced(utilities, "_lazy_imports", _lazy_imports), replaced(utilities, "_loaded_implementation", None):
            yield
    finally:
        known["general_availability_check"] = available
        masks[NAME] = mask


def _no_mask(*_: Any, attention_mask: torch.Tensor | None = None, **__: Any) -> None:
    """Stand for flash_attention_mask, which asks the data whether anything is padding: a mask is there for that."""
    if attention_mask is not None:
        flash_attn_varlen_func()


def _lazy_imports(implementation: str | None, *_: Any, **__: Any) -> tuple[Any, ...]:
    if implementation not in {NAME, None}:
        raise UnsupportedError(f"attention {implementation!r} cannot be simulated; {NAME} and sdpa can.")
    return flash_attn_func, flash_attn_varlen_func, None, unpadded, unpadded
