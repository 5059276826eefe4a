"""MoRA's square matrix: as many weights as LoRA's two, updates of a higher rank, and the paper's two compressions."""

from __future__ import annotations

import math

import pytest
import torch
from peft.tuners.lora.layer import LoraLayer

from bench.worker.methods.mora import side


def layers(model):
    return [module for module in model.modules() if isinstance(module, LoraLayer)]


@pytest.mark.parametrize("rank", [1, 3, 8, 16])
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 32), (192, 64), (3072, 8192)])
def test_the_square_has_as_many_weights_as_loras_matrices(inputs, outputs, rank):
    """One more row and column would be more than LoRA has; the side of a matrix of turns is even."""
    lora = (inputs + outputs) * rank
    found, even = (side(inputs, outputs, rank, even=even) for even in (False, True))

    assert found**2 <= lora < (found + 1) ** 2
    assert even == found - found % 2


@pytest.mark.parametrize("compression", ["rotation", "sharing"])
def test_an_update_has_a_higher_rank_than_loras(prepared, tiny_config, compression):
    """With the weights of LoRA of rank 2 every layer's update has a rank beyond 2, up to the side of its square."""
    model = prepared(tiny_config("mora", rank=2, compression=compression))
    for layer in layers(model):
        torch.nn.init.normal_(layer.lora_A["default"].weight)
        assert torch.linalg.matrix_rank(layer.get_delta_weight("default")) >= layer.lora_A["default"].in_features > 2


@pytest.mark.parametrize("compression", ["rotation", "sharing"])
def test_compression_is_the_papers(prepared, tiny_config, compression):
    """Equation 6 or 9, entry by entry: input j belongs to place j mod side, and to piece j // side."""
    model = prepared(tiny_config("mora", targets="k_proj", rank=3, alpha=3, dropout=0.0, compression=compression))
    layer = layers(model)[0]
    matrix = torch.nn.init.normal_(layer.lora_A["default"].weight).detach().double()
    width, inputs, outputs = len(matrix), layer.in_features, layer.out_features
    pieces = -(-inputs // width)
    given = torch.randn(inputs, dtype=torch.float64)

    rows = torch.zeros(pieces, width, dtype=torch.float64)
    for place in range(pieces * width):
        rows[place // width, place % width] = given[place % inputs]
    if compression == "sharing":
        made = (matrix @ rows.sum(0)).tolist()
    else:
        made = [entry for number, row in enumerate(rows) for entry in (matrix @ turned(row, number)).tolist()]
    expected = torch.tensor([made[place % len(made)] for place in range(outputs)])

    found = layer.get_delta_weight("default").double() @ given
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)


def turned(row, number):
    """Turn the pair (k, k + half) by number times 10000 ** (-2 k / width)."""
    half = len(row) // 2
    result = row.clone()
    for k in range(half):
        angle = number * 10_000 ** (-2 * k / len(row))
        a, b = row[k].item(), row[k + half].item()
        result[k] = a * math.cos(angle) - b * math.sin(angle)
        result[k + half] = b * math.cos(angle) + a * math.sin(angle)
    return result
