"""One linear layer in every format, as libraries make it: filled, read back, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import bitsandbytes as bnb
import torch
from safetensors.torch import load_file, save_file

from bench.errors import MissingPackageError
from bench.worker.quantized import REPACKING_SWITCH, reference_weight
from bench.worker.refusals import refusing

FOUR_BITS = ("nf4", "fp4")
OUTLIERS = 6.0
"""Inputs that large keep 16 bits in LLM.int8(): transformers' default (arXiv 2208.07339, section 3.1)."""

KERNELS_REFUSE = (RuntimeError, AssertionError)
"""What bitsandbytes raises for shapes and types that it does not compute, beside what every library does."""


def theirs(what: str) -> AbstractContextManager[None]:
    """Turn a library's refusal of `what` into `UnsupportedError`, in its own words."""
    return refusing(what, *KERNELS_REFUSE)


@dataclass(frozen=True, slots=True)
class Form:
    """How a layer holds its weight: `format` is plain, a dtype, nf4, fp4, int8 or hqq; the rest is for some of them.

    `compute_dtype` is what 4-bit layers compute in, "same" their weight's dtype; `bits` are HQQ's.
    """

    format: str
    blocksize: int = 64
    double_quant: bool = True
    bits: int = 2
    compute_dtype: str = "same"
    repacking: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Read a study's options."""
        return cls(**{field.name: options[field.name] for field in fields(cls) if field.name in options})

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype that a format is, if it is one of real numbers."""
        found = getattr(torch, self.format, None)
        return found if isinstance(found, torch.dtype) and found.is_floating_point else None


def filled(weight: torch.Tensor, bias: torch.Tensor | None, form: Form, device: str) -> Any:
    """Return a layer on `device` that holds a weight [out, in] as `form` says.

    Raises `UnsupportedError` for what a library refuses, or that is not installed.
    """
    with theirs("holding the weight"):
        if form.format in FOUR_BITS:
            layer = _of_four_bits(weight, form)
        elif form.format == "int8":
            layer = bnb.nn.Linear8bitLt(*_sizes(weight), has_fp16_weights=False, threshold=OUTLIERS)
            layer.weight = bnb.nn.Int8Params(weight.clone(), requires_grad=False, has_fp16_weights=False)
        elif form.format == "hqq":
            return _of_hqq(weight, bias, form, device)
        else:
            layer = torch.nn.Linear(*_sizes(weight))
            layer.weight = torch.nn.Parameter(weight.to(form.dtype or weight.dtype, copy=True))
        layer.bias = None if bias is None else torch.nn.Parameter(bias.to(form.dtype or bias.dtype, copy=True))
        return layer.requires_grad_(False).to(device)


def _sizes(weight: torch.Tensor) -> tuple[int, int]:
    rows, columns = weight.shape
    return columns, rows


def _of_four_bits(weight: torch.Tensor, form: Form) -> Any:
    """Return a 4-bit layer that is quantised when it is moved to its device."""
    compute = weight.dtype if form.compute_dtype == "same" else getattr(torch, form.compute_dtype)
    layer = bnb.nn.Linear4bit(*_sizes(weight), compute_dtype=compute, quant_type=form.format)
    layer.weight = bnb.nn.Params4bit(
        weight.clone(), quant_type=form.format, blocksize=form.blocksize, compress_statistics=form.double_quant
    )
    if hasattr(layer, REPACKING_SWITCH) and not form.repacking:
        setattr(layer, REPACKING_SWITCH, False)
    return layer


def _of_hqq(weight: torch.Tensor, bias: torch.Tensor | None, form: Form, device: str) -> Any:
    """Return HQQ's own layer: transformers 5.24 does not load it ("not available yet")."""
    try:
        from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
    except ModuleNotFoundError as missing:
        name = missing.name or "hqq"
        raise MissingPackageError(name, "format 'hqq'", "pip install 'ftbench[hqq]'") from None
    plain = torch.nn.Linear(*_sizes(weight), bias=bias is not None)
    plain.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        plain.bias = torch.nn.Parameter(bias.clone(), requires_grad=False)
    settings = BaseQuantizeConfig(nbits=form.bits, group_size=form.blocksize, axis=1)
    return HQQLinear(plain, settings, compute_dtype=weight.dtype, device=device)


def scales_of(layer: Any) -> torch.Tensor:
    """Return the largest absolute weight of every row of an 8-bit layer; it lies with the weight until first used."""
    found: torch.Tensor = layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB
    return found


def stored(layer: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return the weight that a layer's state describes, in `dtype`: by table look-up and multiplication alone.

    HQQ's layers expand themselves, in plain torch.
    """
    if isinstance(layer, bnb.nn.Linear4bit):
        return reference_weight(layer, dtype)
    if isinstance(layer, bnb.nn.Linear8bitLt):
        found = layer.weight.data.to(dtype) * scales_of(layer).to(dtype).unsqueeze(1) / 127
    else:
        found = (layer.dequantize() if hasattr(layer, "W_q") else layer.weight.detach()).to(dtype)
    weight: torch.Tensor = found
    return weight


def held_in(layer: Any) -> dict[str, list[torch.Tensor]]:
    """Return the tensors that hold a layer's weight: its codes (payload), scales, and tables that codes refer to."""
    if isinstance(layer, bnb.nn.Linear4bit):
        state = layer.weight.quant_state
        outer = [state.state2.absmax, state.offset] if state.nested else []
        tables = [state.code, *([state.state2.code] if state.nested else [])]
        return {"payload": [layer.weight.data], "scale": [state.absmax, *outer], "table": tables}
    if isinstance(layer, bnb.nn.Linear8bitLt):
        return {"payload": [layer.weight.data], "scale": [scales_of(layer)], "table": []}
    if hasattr(layer, "W_q"):
        return {"payload": [layer.W_q.data], "scale": [layer.meta["scale"], layer.meta["zero"]], "table": []}
    return {"payload": [layer.weight.data], "scale": [], "table": []}


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


def reloaded(layer: Any, form: Form, device: str, file: Path) -> Any:
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
        found = filled(torch.zeros(layer.out_features, layer.in_features), bias, form, device)
        found.load_state_dict(held)
        return found
