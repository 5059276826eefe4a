"""The plain arithmetic that kernels are held against."""

from __future__ import annotations

import bitsandbytes as bnb
import pytest
import torch
from bitsandbytes.functional import create_dynamic_map

from bench.worker.studies import numerics_reference as plain


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nearest_entry_is_found_in_a_table_that_is_not_sorted():
    """Every value gets the entry with the least distance; beyond the ends the end."""
    table = torch.tensor([0.5, -1.0, 0.0, 1.0])
    values = torch.tensor([-3.0, -0.6, -0.4, 0.24, 0.26, 0.9, 9.0], dtype=torch.float64)

    assert plain.nearest(values, table).tolist() == [-1, -1, 0, 0, 0.5, 1, 1]


def test_a_tie_costs_nothing_and_a_wrong_choice_what_it_is_farther_off():
    """Between two entries equally near either is right; the farther one of two costs the difference."""
    goal, best = torch.tensor([0.5, 1.0], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)

    assert plain.excess(torch.tensor([1.0, 1.0]), goal, best) == 0
    assert plain.excess(torch.tensor([0.0, 1.5]), goal, best) == pytest.approx(0.5 / goal.norm().item())
    assert plain.excess(torch.tensor([float("nan"), 1.0]), goal, best) == float("inf")


def test_a_short_last_block_has_a_maximum_of_its_own():
    """Five values in blocks of two make three maxima, spread over five again."""
    flat = torch.tensor([1.0, -3.0, 2.0, 0.5, -0.25])

    maxima = plain.block_maxima(flat, 2)

    assert maxima.tolist() == [3, 2, 0.25]
    assert plain.spread_over(flat, maxima, 2).tolist() == [3, 3, 2, 2, 0.25]


def test_nested_scales_are_what_double_quantisation_makes_of_them():
    """The reference, which shares no code with it, gives the scales that bitsandbytes gives, to rounding."""
    maxima = normal(600).abs() + 1
    offset = maxima.float().mean()
    codes, state = bnb.functional.quantize_blockwise(maxima.float() - offset, blocksize=256)
    theirs = bnb.functional.dequantize_blockwise(codes, state) + offset

    ours = plain.nested_scales(maxima, create_dynamic_map())

    torch.testing.assert_close(ours.float(), theirs, rtol=1e-5, atol=1e-6)
    assert plain.off(ours, maxima) > 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_rounding_costs_is_allowed_and_not_much_more(dtype):
    """Products of rounded numbers err by less than what is allowed, and by more than a thirtieth of it."""
    inputs, weight = normal(8, 256).to(dtype), normal(64, 256, seed=1)
    expected, spread = plain.product(inputs, weight)
    found = (inputs.double() @ weight.to(dtype).double().T).to(dtype)

    error, allowed = plain.off(found, expected), plain.allowed(dtype, terms=256, spread=spread)

    assert allowed / 30 < error < allowed


def test_what_eight_bit_inputs_cost_is_what_rounding_them_costs():
    """The standard deviation that is allowed for is the error of really rounding inputs, to a fifth; outliers stay."""
    inputs, weight = normal(64, 256), normal(128, 256, seed=1)
    inputs[:, 0] = 20
    expected, _ = plain.product(inputs, weight)
    step = inputs[:, 1:].abs().amax(1, keepdim=True) / 127
    rounded = torch.cat((inputs[:, :1], (inputs[:, 1:] / step).round() * step), dim=1)

    real = plain.off(rounded @ weight.T, expected)

    assert plain.int8_step(inputs, weight, expected, 6.0) == pytest.approx(real, rel=0.2)
