"""4-bit layers of bitsandbytes: their state read back, and their kernels checked against plain arithmetic.

On some processors bitsandbytes' CPU kernels return wrong numbers without saying so: for
widths that the block size does not divide, and after an evaluation that repacked the
weight in place. Nothing is trained on a layer whose kind failed the check here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes.nn.parametrize import replace_parameter_4bit
from transformers import BitsAndBytesConfig

from bench.errors import KernelError

REPACKING_SWITCH = "support_avx512bf16_for_cpu"
"""Attribute of Linear4bit; while it is true, evaluation on avx512_bf16 processors repacks the weight in place."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Largest relative error (Frobenius norm) by compute type: a few units of its precision; broken kernels err by 0.1."""

SAMPLE_ROWS = 8


def layers(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the name and module of every 4-bit layer."""
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            yield name, module


def keep_weights_in_place(model: torch.nn.Module) -> None:
    """Turn off the in-place repacking of weights for CPU evaluation, where this bitsandbytes has it."""
    for _, layer in layers(model):
        if hasattr(layer, REPACKING_SWITCH):
            setattr(layer, REPACKING_SWITCH, False)


def quantize_experts(model: torch.nn.Module, settings: BitsAndBytesConfig) -> int:
    """Quantise what transformers leaves in 16 bits: routed experts, held as one tensor a layer; return how many.

    Bitsandbytes replaces each by its payload, and gives the expanded tensor to whoever reads it
    (bitsandbytes.nn.parametrize). Like a 4-bit layer, a module of experts computes in the compute type and
    returns what type it was given.
    """
    found = [(module, name) for module in model.modules() for name, parameter in module.named_parameters(recurse=False)
             if parameter.dim() == 3]  # fmt: skip
    for module, name in found:
        replace_parameter_4bit(
            module,
            name,
            compress_statistics=settings.bnb_4bit_use_double_quant,
            quant_type=settings.bnb_4bit_quant_type,
        )
        kept: Any = module.parametrizations[name]  # type: ignore[index]
        kept.original.quant_state = kept[0].quant_state  # so that it is known for what it is, like a layer's weight
    for module in {id(module): module for module, _ in found}.values():
        _compute_in(module, settings.bnb_4bit_compute_dtype)
    return len(found)


def _compute_in(module: torch.nn.Module, compute: torch.dtype) -> None:
    given = compute

    def cast(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        nonlocal given
        given = inputs[0].dtype
        return inputs[0].to(compute), *inputs[1:]

    def cast_back(_: torch.nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.to(given)

    module.register_forward_pre_hook(cast)
    module.register_forward_hook(cast_back)


def state_of(layer: Any) -> Any:
    """Return a layer's quantisation state."""
    return layer.weight.quant_state


def reference_weight(layer: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Expand a layer's 4-bit weight by table look-up and multiplication alone, in `dtype`: [out, in].

    Two codes a byte, the first in the high bits; a code is looked up in the state's table
    of 16 and multiplied by its block's absolute maximum, which with double quantisation is
    itself an 8-bit code times a maximum plus an offset (arXiv 2305.14314, section 3).
    """
    state = state_of(layer)
    values = stored_values(layer, dtype)
    blocks = torch.arange(values.numel(), device=values.device) // state.blocksize
    weight: torch.Tensor = (values * block_scales(state, dtype)[blocks]).reshape(state.shape)
    return weight


def stored_values(layer: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the table's value of every code of a layer, before its block's scale: `dtype` [weights]."""
    state = state_of(layer)
    payload = layer.weight.data.contiguous().view(torch.uint8).flatten()
    codes = torch.stack((payload >> 4, payload & 15), dim=1).flatten()[: state.shape.numel()]
    values: torch.Tensor = state.code.to(dtype)[codes.long()]
    return values


def block_scales(state: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the absolute maximum of every block, `dtype` [blocks]."""
    if not state.nested:
        return state.absmax.to(dtype).flatten()  # type: ignore[no-any-return]
    codes = state.absmax.flatten().long()
    groups = torch.arange(codes.numel(), device=codes.device) // state.state2.blocksize
    scales: torch.Tensor = state.state2.code.to(dtype)[codes] * state.state2.absmax.to(dtype)[groups] + state.offset
    return scales


def check_kernels(model: torch.nn.Module) -> int:
    """Check one layer of every kind and return how many kinds there are.

    A kind is shape, data type, block size, nesting and compute type. Checked are
    dequantisation, forward, the gradient of the input, and dequantisation after an
    evaluation. Raises `KernelError` naming the layer, the operation and its error.
    """
    kinds: dict[tuple[Any, ...], tuple[str, Any]] = {}
    for name, layer in layers(model):
        state = state_of(layer)
        kind = (tuple(state.shape), state.quant_type, state.blocksize, state.nested, layer.compute_dtype)
        kinds.setdefault(kind, (name, layer))
    for name, layer in kinds.values():
        _check(name, layer)
    return len(kinds)


def _check(name: str, layer: Any) -> None:
    weight = reference_weight(layer)
    compute = layer.compute_dtype or torch.float32
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(SAMPLE_ROWS, weight.shape[1], generator=generator).to(weight.device, compute)
    given = sample.clone().requires_grad_(True)
    product = sample.float() @ weight.T
    if layer.bias is not None:
        product += layer.bias.detach().float()

    def compare(operation: str, found: torch.Tensor, expected: torch.Tensor) -> None:
        error = ((found.detach().float() - expected).norm() / expected.norm()).item()
        if not error <= TOLERANCE[compute]:
            raise KernelError(
                f"bitsandbytes {bnb.__version__} on {weight.device.type}: {operation} of {name} "
                f"({tuple(weight.shape)}, {state_of(layer).quant_type}, block {state_of(layer).blocksize}) is off by "
                f"{error:.1%} of its norm; its numbers would be wrong. Try another version of bitsandbytes, "
                "another block size or dtype, or another device."
            )

    was_training = layer.training
    try:
        layer.train()
        compare("dequantisation", _dequantized(layer), weight)
        output = layer(given)
        compare("forward", output, product)
        output.sum().backward()
        assert given.grad is not None
        compare("the input's gradient", given.grad, weight.sum(0).expand_as(given))
        layer.eval()
        with torch.no_grad():
            compare("forward in evaluation", layer(sample), product)
        compare("dequantisation after an evaluation", _dequantized(layer), weight)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as refusal:
        raise KernelError(f"bitsandbytes {bnb.__version__} cannot compute with {name}: {refusal}") from refusal
    finally:
        layer.train(was_training)


def _dequantized(layer: Any) -> torch.Tensor:
    result: torch.Tensor = bnb.functional.dequantize_4bit(layer.weight.data, state_of(layer))
    return result.reshape(state_of(layer).shape)
