"""What kernels should compute, in plain float64 arithmetic, and how far rounding alone may take them from it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional

SURE = 4.0
"""Standard deviations that are allowed: one run in ten thousand would exceed them if errors were normal."""

ROUNDINGS = 3
"""Roundings to the compute type on the way to one product: of the scale, of the weight, of the result."""

NESTED_BLOCK = 256
"""Scales that share one scale of their own in double quantisation (arXiv 2305.14314, section 3)."""

INT8_LEVELS = 127
"""Steps of LLM.int8()'s codes on either side of zero (arXiv 2208.07339, section 2)."""


class Check(NamedTuple):
    """One thing that was computed and compared: relative error (Frobenius) and the error that is allowed.

    An error that is not finite is that of numbers that are not.
    """

    name: str
    error: float
    allowed: float

    @property
    def right(self) -> bool:
        """Whether the error is one that rounding explains."""
        return self.error <= self.allowed


def allowed(dtype: torch.dtype, *, terms: int = 1, spread: float = 1.0, also: float = 0.0) -> float:
    """Return the relative error that rounding explains, in `SURE` standard deviations.

    Each of `ROUNDINGS` roundings errs by at most the unit roundoff of `dtype`; sums of `terms` products are taken in
    float32 and err by its unit roundoff times the root of their number. Errors are taken as independent, which is
    the probabilistic model of rounding (Higham and Mary 2019, doi 10.1137/18M1226312). `spread` is the norm of what
    is summed over the norm of the sum; `also` is what else rounds on purpose, as a relative standard deviation.
    """
    rounding = math.sqrt(ROUNDINGS) * _roundoff(dtype) + math.sqrt(terms) * _roundoff(torch.float32)
    return SURE * math.hypot(rounding * spread, also)


def _roundoff(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2


def coarser(*dtypes: torch.dtype) -> torch.dtype:
    """Return the type with the fewest digits."""
    return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what was expected."""
    wanted = expected.double()
    return float((found.detach().double() - wanted).norm() / wanted.norm())


def excess(found: torch.Tensor, goal: torch.Tensor, best: torch.Tensor) -> float:
    """Return how much farther `found` is from `goal` than `best`, the nearest there is: norm over norm of `goal`.

    A tie costs nothing, and a value at the border of two costs what the border is off by.
    """
    farther = (found.double() - goal).abs() - (best - goal).abs()
    return float(farther.clamp(min=0).norm() / goal.norm()) if found.isfinite().all() else math.inf


def nearest(values: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return the table's entry that is nearest to each value."""
    ordered = table.double().sort().values
    above = torch.searchsorted(ordered, values).clamp(1, len(ordered) - 1)
    lower, upper = ordered[above - 1], ordered[above]
    return torch.where(values - lower <= upper - values, lower, upper)


def block_maxima(flat: torch.Tensor, blocksize: int) -> torch.Tensor:
    """Return the largest absolute value of every block; the last block may be short."""
    missing = -len(flat) % blocksize
    return functional.pad(flat.abs(), (0, missing)).view(-1, blocksize).amax(1)


def spread_over(flat: torch.Tensor, blocks: torch.Tensor, blocksize: int) -> torch.Tensor:
    """Return every value's own entry of `blocks`."""
    return blocks.repeat_interleave(blocksize)[: len(flat)]


def nested_scales(maxima: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return the block maxima after double quantisation: offset by their mean, in 8 bits by groups."""
    offset = maxima.mean()
    centred = maxima - offset
    largest = spread_over(centred, block_maxima(centred, NESTED_BLOCK), NESTED_BLOCK)
    scaled = torch.where(largest > 0, centred / largest, torch.zeros_like(centred))
    return nearest(scaled, table) * largest + offset


def product(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> tuple[torch.Tensor, float]:
    """Return inputs x weight transposed (+ bias) in float64, and the norm of its terms over its own."""
    first, second = inputs.detach().double(), weight.double()
    result = first @ second.T
    terms = first.square() @ second.square().T
    if bias is not None:
        added = bias.detach().double()
        result, terms = result + added, terms + added.square()
    return result, float(terms.sum().sqrt() / result.norm())


def int8_step(inputs: torch.Tensor, weight: torch.Tensor, result: torch.Tensor, threshold: float) -> float:
    """Return what rounding `inputs` to LLM.int8()'s codes costs a product, as a relative standard deviation.

    A rounding to steps of d errs by d over the root of 12; columns that reach `threshold` stay in 16 bits.
    """
    values = inputs.detach().double().abs()
    kept = values.amax(0) < threshold
    step = (values * kept).amax(1, keepdim=True) / INT8_LEVELS
    variance = (step.square() / 12) @ (weight.double().square() @ kept.double()).unsqueeze(0)
    return float(variance.sum().sqrt() / result.norm())
