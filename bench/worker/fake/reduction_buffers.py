"""What a sum over rows takes inside on a GPU: a buffer in which blocks of threads meet. Bytes.

setReduceConfig and global_memory_size in aten/src/ATen/native/cuda/Reduce.cuh. Where what is summed lies next to each
other in memory the buffer has a few bytes a block of threads, less than 64 KiB in all. Where it lies apart, as in the
gradient of a bias or of a norm's weight, torch asks for so many bytes an output times the threads of a row: more than
it uses, and easily more than the tensor that is summed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.worker.fake.backends import Capability

MOST_THREADS = 512
"""Threads of a block (mnt_wrapper)."""

WARP = 32
WIDEST_LOAD = 4
"""Values loaded at once, of outputs next to each other (get_output_vec_size)."""

FEWEST_VALUES, MOST_VALUES = 16, 256
"""Values summed by a thread (min_values_per_thread, max_values_per_thread)."""

RESIDENT: dict[Capability, int] = {(7, 5): 1024, (8, 6): 1536, (8, 9): 1536, (12, 0): 1536, (12, 1): 1536}
"""Threads a multiprocessor can hold, 2048 where not named: CUDA C++ Programming Guide, technical specifications."""

WIDE = (torch.float64, torch.int64)
"""Types that are summed in 8 bytes, others in 4 (arg_t)."""


def column_sum(tensor: torch.Tensor, dims: Sequence[int] | int | None) -> list[int]:
    """Return the buffer of a sum, mean or norm of `tensor` over `dims`, none where there is none to speak of.

    A tensor of more than 2 GiB is summed in parts, which is not followed here.
    """
    reduced = _reduced(tensor, dims)
    rows = [(size, stride) for size, stride, summed in reduced if summed]
    kept = [(size, stride) for size, stride, summed in reduced if not summed]
    if not rows or not kept or rows[0][1] < kept[0][1]:
        return []
    inputs, outputs = _product(rows), _product(kept)
    load = _load(rows, kept, int(tensor.storage_offset())) if kept[0][1] == 1 else 1
    width, height = _block(outputs // load, inputs, MOST_THREADS // load)
    values = inputs
    across_warps = values >= min(height * FEWEST_VALUES, MOST_VALUES)
    if not across_warps:
        return []
    values = -(-values // height)
    grid = -(-(outputs // load) // width)
    parts = _parts(values, grid, _slots(width * height))
    element = 8 if tensor.dtype in WIDE else 4
    return [element * outputs * parts * width * load] if parts > 1 else []


def _reduced(tensor: torch.Tensor, dims: Sequence[int] | int | None) -> list[tuple[int, int, bool]]:
    """Return size, stride and whether it is summed, of dimensions in the order of their strides, joined where dense."""
    wanted = [dims] if isinstance(dims, int) else list(dims or range(tensor.dim()))
    summed = {dim % tensor.dim() for dim in wanted} if tensor.dim() else set()
    dimensions = [(tensor.stride(dim), tensor.shape[dim], dim in summed) for dim in range(tensor.dim())]
    joined: list[tuple[int, int, bool]] = []
    for is_summed in (True, False):
        last: tuple[int, int, bool] | None = None
        for stride, size, _ in sorted(each for each in dimensions if each[2] == is_summed and each[1] != 1):
            if last is not None and stride == last[0] * last[1]:
                joined.pop()
                stride, size = last[1], last[0] * size  # noqa: PLW2901
            last = (size, stride, is_summed)
            joined.append(last)
    return joined


def _product(dimensions: Sequence[tuple[int, int]]) -> int:
    total = 1
    for size, _ in dimensions:
        total *= size
    return total


def _load(rows: Sequence[tuple[int, int]], kept: Sequence[tuple[int, int]], offset: int) -> int:
    """Return how many outputs are loaded at once: a divisor of the first dimension and of all others' strides."""
    load = WIDEST_LOAD
    for number in (offset, kept[0][0], *(stride for _, stride in (*rows, *kept[1:]))):
        while number % load:
            load //= 2
    return load


def _block(outputs: int, inputs: int, most: int) -> tuple[int, int]:
    """Return the threads of a block along outputs and along inputs (set_block_dimension)."""
    across, along = (min(most, 1 << (count.bit_length() - 1)) if count else 1 for count in (outputs, inputs))
    height = min(along, most // min(across, WARP))
    return min(across, most // height), height


def _slots(threads: int) -> int:
    """Return the blocks of so many threads that a GPU holds at once (target_grid_size)."""
    gpu = torch.cuda.get_device_properties()
    resident = RESIDENT.get((gpu.major, gpu.minor), 2048)
    slots: int = gpu.multi_processor_count * (resident // threads)
    return slots


def _parts(values: int, grid: int, slots: int) -> int:
    """Return over how many blocks the inputs of an output are divided (ctas_per_output)."""
    if values < MOST_VALUES or grid > slots:
        return 1
    return max(min(-(-slots // grid), -(-values // FEWEST_VALUES)), -(-values // MOST_VALUES))
