"""Canary: the speed of fixed work that has nothing to do with the run, to tell whether the machine stayed the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch


class Canary(NamedTuple):
    """FLOP/s of a matrix product, and B/s of a copy with the bytes read and the bytes written counted."""

    gemm: float
    copy: float


class Size(NamedTuple):
    """Fixed work by kind of device: rows of the square matrices, bytes of the block, calls without a break."""

    rows: int
    block: int
    calls: int


SIZES = {"cpu": Size(1024, 64 * 2**20, 1), "cuda": Size(8192, 256 * 2**20, 8), "xpu": Size(8192, 256 * 2**20, 8)}
"""2 GFLOP are 0.1 s on two slow cores; 1.1 TFLOP are 1.6 ms on an H100, so that starting a kernel (5 us) is nothing.

The block is larger than the caches of any GPU; on servers with a large third-level cache it may fit there.
"""
OTHER = Size(2048, 64 * 2**20, 4)

SETTLE, BUDGET = 0.05, 0.1
"""Seconds after which warming up and measuring end, a call that has begun excepted."""

FEWEST = 3


class Work(NamedTuple):
    """Something to do, and how much of it one call does: FLOP or bytes."""

    run: Callable[[], object]
    amount: int


def canary(torch_name: str, dtype: torch.dtype) -> Canary:
    """Measure the matrix product in `dtype` and the copy on a device. Raises what torch raises where memory runs out.

    Leaves no memory in torch's cache but, on CUDA, the workspace of cuBLAS, which training needs too (32 MiB on an
    H100); and no draw from torch's random generators.
    """
    kind = torch_name.partition(":")[0]
    size = SIZES.get(kind, OTHER)

    def synchronize() -> None:
        if kind != "cpu":
            getattr(torch, kind).synchronize()

    try:
        with torch.no_grad():
            gemm = speed(matrix_product(size.rows, torch_name, dtype), size.calls, synchronize)
            return Canary(gemm, speed(block_copy(size.block, torch_name), size.calls, synchronize))
    finally:
        if kind != "cpu":
            getattr(torch, kind).empty_cache()


def matrix_product(rows: int, torch_name: str, dtype: torch.dtype) -> Work:
    """Multiply two random square matrices: 2 n^3 FLOP. Zeros would draw less power and so run at higher clocks."""
    generator = torch.Generator(torch_name).manual_seed(0)
    left, right = (torch.rand(rows, rows, generator=generator, device=torch_name).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    return Work(lambda: torch.mm(left, right, out=product), 2 * rows**3)


def block_copy(size: int, torch_name: str) -> Work:
    """Copy a block of `size` bytes: as many read as written."""
    source = torch.ones(size, dtype=torch.uint8, device=torch_name)
    target = torch.zeros_like(source)
    return Work(lambda: target.copy_(source), 2 * size)


def speed(
    work: Work, calls: int, synchronize: Callable[[], None], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the amount a second: the median over at least `FEWEST` rounds of `calls` calls, after warming up."""

    def rounds(fewest: int, budget: float) -> list[float]:
        seconds: list[float] = []
        spent = 0.0
        while len(seconds) < fewest or spent < budget:
            synchronize()
            began = clock()
            for _ in range(calls):
                work.run()
            synchronize()
            seconds.append(clock() - began)
            spent += seconds[-1]
        return seconds

    rounds(1, SETTLE)
    return work.amount * calls / median(rounds(FEWEST, BUDGET))
