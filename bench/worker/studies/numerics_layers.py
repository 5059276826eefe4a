"""One linear layer in every format, as libraries make it: filled, read back, saved and loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
from safetensors.torch import load_file, save_file

from bench.errors import UnsupportedError
from bench.schema.catalogue import Scalar
from bench.worker.quantized import REPACKING_SWITCH, reference_weight

FOUR_BITS = ("nf4", "fp4")
OUTLIERS = 6.0
"""Inputs that large keep 16 bits in LLM.int8(): transformers' default (arXiv 2208.07339, section 3.1)."""

REFUSALS = (RuntimeError, ValueError, AssertionError)
"""What libraries raise for shapes and types that they do not compute."""


@contextmanager
def theirs(what: str) -> Iterator[None]:
    """Turn a library's refusal of `what` into `UnsupportedError`, in its own words; memory that runs out passes."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except REFUSALS as refused:
        raise UnsupportedError(f"{what} is refused: {type(refused).__name__}: {refused}") from refused


def filled(weight: torch.Tensor, bias: torch.Tensor | None, options: dict[str, Scalar], device: str) -> Any:
    """Return a layer on `device` that holds a weight [out, in] as `options` say; it computes in the weight's type."""
    held, (rows, columns) = str(options["format"]), weight.shape
    layer: Any
    if held in FOUR_BITS:
        layer = bnb.nn.Linear4bit(columns, rows, compute_dtype=weight.dtype, quant_type=held)
        layer.weight = bnb.nn.Params4bit(
            weight.clone(), quant_type=held,
            blocksize=options["blocksize"], compress_statistics=options["double_quant"],
        )  # fmt: skip
        if hasattr(layer, REPACKING_SWITCH) and not options["repacking"]:
            setattr(layer, REPACKING_SWITCH, False)
    elif held == "int8":
        layer = bnb.nn.Linear8bitLt(columns, rows, has_fp16_weights=False, threshold=OUTLIERS)
        layer.weight = bnb.nn.Int8Params(weight.clone(), requires_grad=False, has_fp16_weights=False)
    else:
        layer = torch.nn.Linear(columns, rows)
        layer.weight = torch.nn.Parameter(weight.clone())
    layer.bias = None if bias is None else torch.nn.Parameter(bias.clone())
    with theirs("holding the weight"):
        return layer.requires_grad_(False).to(device)


def scales_of(layer: Any) -> torch.Tensor:
    """Return the largest absolute weight of every row of an 8-bit layer; it lies with the weight until first used."""
    found: torch.Tensor = layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB
    return found


def stored(layer: Any) -> torch.Tensor:
    """Return the weight that a layer's state describes, float64 on the host: table look-up and multiplication."""
    if isinstance(layer, bnb.nn.Linear4bit):
        weight = reference_weight(layer, torch.float64)
    elif isinstance(layer, bnb.nn.Linear8bitLt):
        weight = layer.weight.data.double() * scales_of(layer).double().unsqueeze(1) / 127
    else:
        weight = layer.weight.detach().double()
    return weight.cpu()


def expanded(layer: Any) -> torch.Tensor:
    """Let the library expand a layer's weight."""
    with theirs("expanding the weight"):
        if isinstance(layer, bnb.nn.Linear4bit):
            state = layer.weight.quant_state
            found = bnb.functional.dequantize_4bit(layer.weight.data, state).reshape(state.shape)
        elif isinstance(layer, bnb.nn.Linear8bitLt):
            found = bnb.functional.int8_vectorwise_dequant(layer.weight.data, scales_of(layer))
        else:
            found = layer.weight.detach()
    weight: torch.Tensor = found.cpu()
    return weight


def reloaded(layer: Any, options: dict[str, Scalar], device: str, file: Path) -> Any:
    """Save a layer to a file as models are saved, and load it into a new one."""
    with theirs("saving and loading"):
        save_file({name: tensor.contiguous() for name, tensor in layer.state_dict().items()}, file)
        held = load_file(file, device=device)
        bias = held.get("bias")
        if isinstance(layer, bnb.nn.Linear4bit):
            found: Any = bnb.nn.Linear4bit(layer.in_features, layer.out_features, compute_dtype=layer.compute_dtype)
            state = {name.removeprefix("weight."): held[name] for name in held if name.startswith("weight.")}
            found.weight = bnb.nn.Params4bit.from_prequantized(held["weight"], state, device=device, module=found)
            found.bias = None if bias is None else torch.nn.Parameter(bias)
            return found
        found = filled(torch.zeros(layer.out_features, layer.in_features), bias, options, device)
        found.load_state_dict(held)
        return found
