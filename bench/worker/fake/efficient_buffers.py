"""What torch's memory-efficient attention keeps aside, by the kernel a GPU takes. Bytes.

Of several kernels the first is taken that is wide enough, and that the GPU has shared memory for: `launchKernel` in
aten/src/ATen/native/transformers/cuda/attention.cu and attention_backward.cu. Their order is dispatch_cutlassB's in
mem_eff_attention/kernels/cutlassB.h; the shared memory of each was read from torch 2.13.0's build for CUDA 13.0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from bench.worker.fake.backends import AMPERE, HALF, Capability
from bench.worker.fake.flash_buffers import FLOAT

KIB = 1024
SHARED_MEMORY: dict[Capability, int] = {
    (7, 0): 96 * KIB,
    (7, 5): 64 * KIB,
    (8, 0): 163 * KIB,
    (8, 6): 99 * KIB,
    (8, 9): 99 * KIB,
    (9, 0): 227 * KIB,
    (10, 0): 227 * KIB,
    (10, 3): 227 * KIB,
    (12, 0): 99 * KIB,
    (12, 1): 99 * KIB,
}
"""Shared memory a block may have: CUDA C++ Programming Guide 13.0, table of technical specifications."""

ANY = 65536
HELD_IN_REGISTERS = 128
"""Widest head whose output the forward kernels hold in registers (kMaxK of the _rf kernels in cutlassF.h)."""

HEADER = 16
"""Bytes before every block of a query's gradient: lock, counter, padding (GradQTempStorage)."""

MOST_PARALLEL = 200
"""Keys are split in no more parts than so many over batch and heads, where their gradients are kept aside."""


class Kernel(NamedTuple):
    """A backward kernel: its widest head, rows of a block of queries and of keys, bytes of shared memory.

    `only` are the capabilities it is for, where it is not for all.
    """

    width: int
    queries: int
    keys: int
    shared: int
    only: tuple[Capability, ...] = ()


Kernels = tuple[Kernel, ...]

SM70_HALF: Kernels = (
    Kernel(64, 64, 64, 25088),
    Kernel(128, 128, 64, 50176),
    Kernel(128, 64, 64, 25088),
    Kernel(ANY, 128, 64, 50176),
    Kernel(ANY, 64, 64, 25088),
)
SM75_HALF: Kernels = (
    Kernel(64, 64, 64, 27904),
    Kernel(128, 128, 64, 54784),
    Kernel(128, 64, 64, 27904),
    Kernel(ANY, 128, 64, 54784),
    Kernel(ANY, 64, 64, 27904),
)
BEFORE_AMPERE_FLOAT: Kernels = (Kernel(ANY, 64, 64, 37120),)
AMPERE_FLOAT: Kernels = (
    Kernel(64, 64, 64, 53504),
    Kernel(128, 128, 64, 121344),
    Kernel(128, 64, 64, 67840),
    Kernel(ANY, 128, 64, 121344),
    Kernel(ANY, 64, 64, 67840),
)


def _ampere_half(narrow: int, full: int, *, dropout: bool) -> Kernels:
    """Return the kernels of 16-bit types, which differ in the shared memory of those up to 64 and up to 128 wide."""
    for_small_cards = (Kernel(96, 128, 64, 91648, ((8, 6), (8, 9))),)
    return (
        Kernel(64, 64, 64, narrow),
        *(() if dropout else for_small_cards),
        Kernel(128, 128, 128, full),
        Kernel(128, 64, 64, 34048),
        Kernel(ANY, 128, 64, 60928),
        Kernel(ANY, 64, 64, 34048),
    )


AMPERE_HALF: dict[tuple[torch.dtype, bool], Kernels] = {
    (torch.bfloat16, False): _ampere_half(42240, 133632, dropout=False),
    (torch.bfloat16, True): _ampere_half(51456, 152064, dropout=True),
    (torch.float16, False): _ampere_half(44288, 154112, dropout=False),
    (torch.float16, True): _ampere_half(52480, 162304, dropout=True),
}
"""By type, and whether there is dropout."""


def forward(query: torch.Tensor, value: torch.Tensor) -> list[int]:
    """The output in float32, where 16-bit heads are too wide for registers (kNeedsOutputAccumulatorBuffer)."""
    batch, heads, length, width = query.shape
    if query.dtype not in HALF or max(width, value.shape[-1]) <= HELD_IN_REGISTERS:
        return []
    return [batch * heads * length * value.shape[-1] * FLOAT]


def backward(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float) -> list[int]:
    """The products' sums (delta), and one workspace: workspace_size in mem_eff_attention/kernel_backward.h.

    For every head it holds the query's gradient in float32, in whole blocks; and those of key and value, a block for
    each part the keys are split in, where the kernel cannot hold them in registers and does not return float32.
    """
    batch, heads, length, width = query.shape
    key_length, value_width = key.shape[-2], value.shape[-1]
    kernel = _kernel(query.dtype, max(width, value_width), torch.cuda.get_device_capability(), dropout=dropout > 0)
    blocks = -(-length // kernel.queries) * -(-width // kernel.keys)
    aside = blocks * (HEADER + kernel.queries * kernel.keys * FLOAT)
    if query.dtype in HALF and kernel.width > kernel.queries:
        columns = sum(-(-each // kernel.queries) * kernel.queries for each in (width, value_width))
        aside += _splits(batch * heads, key_length, kernel.keys) * kernel.keys * columns * FLOAT
    return [batch * heads * length * FLOAT, batch * heads * -(-aside // 16) * 16]


def _kernel(dtype: torch.dtype, width: int, capability: Capability, *, dropout: bool) -> Kernel:
    if dtype not in HALF:
        kernels = AMPERE_FLOAT if capability >= AMPERE else BEFORE_AMPERE_FLOAT
    elif capability >= AMPERE:
        kernels = AMPERE_HALF[dtype, dropout]
    else:
        kernels = SM75_HALF if capability >= (7, 5) else SM70_HALF
    shared = SHARED_MEMORY[capability]
    return next(
        kernel
        for kernel in kernels
        if kernel.width >= width and kernel.shared <= shared and (not kernel.only or capability in kernel.only)
    )


def _splits(heads: int, key_length: int, block: int) -> int:
    """In how many parts the keys are split, in _efficient_attention_backward."""
    if heads >= 256 and key_length <= 2 * block:
        return 1
    return max(1, min(-(-key_length // block), MOST_PARALLEL // heads))
