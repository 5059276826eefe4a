"""LoftQ (Li et al., arXiv 2310.08659): LoRA that starts from what quantising the base to 4 bits takes away.

peft's own start (0.21.2) is not used: it computes on CUDA alone, and it leaves the scale alpha / rank out, so that with
a scale of 2 it is as far from the weights as no start at all (huggingface/peft issue 1982).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
from peft.tuners.lora.bnb import Linear4bit
from peft.tuners.lora.layer import Linear
from safetensors import safe_open

from bench import cache
from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.schema.catalogue import is_predicted
from bench.worker import bases
from bench.worker.methods import Method
from bench.worker.methods.lora import variant
from bench.worker.quantized import state_of

Quantize = Callable[[torch.Tensor], torch.Tensor]
"""Quantises a weight [out, in], keeps that as the layer's, and returns it expanded, float32."""

LOFTQ = variant({"iterations": None})


def fitted(
    weight: torch.Tensor, rank: int, scale: float, iterations: int, quantize: Quantize
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A [rank, in] and B [out, rank], whose product times `scale` is nearest to what quantising took away.

    Algorithm 1 of the paper: quantise what the adapter leaves, decompose what that takes away, and again. Where a
    side is shorter than the rank there are as many rows and columns as that.
    """
    left = weight
    for _ in range(iterations):
        outer, values, inner = torch.linalg.svd(weight - quantize(left), full_matrices=False)
        root = (values[:rank] / scale).sqrt()
        first, second = root[:, None] * inner[:rank], outer[:, :rank] * root
        left = weight - scale * second @ first
    return first, second


def in_4_bits(layer: Any) -> Quantize:
    """Let a layer in 4 bits be quantised anew, as it was."""

    def quantize(weight: torch.Tensor) -> torch.Tensor:
        old, state = layer.weight, state_of(layer)
        layer.weight = bnb.nn.Params4bit(
            weight.to(state.dtype),
            requires_grad=False,
            blocksize=state.blocksize,
            compress_statistics=state.nested,
            quant_type=state.quant_type,
            quant_storage=old.quant_storage,
            module=layer,
        ).to(old.device)
        expanded: torch.Tensor = bnb.functional.dequantize_4bit(layer.weight.data, state_of(layer))
        return expanded.float().reshape(weight.shape)

    return quantize


def in_its_type(layer: Any) -> Quantize:
    """Let a plain layer keep the values that NF4 can have, in the type it has; no scale is quantised again."""

    def quantize(weight: torch.Tensor) -> torch.Tensor:
        expanded = bnb.functional.dequantize_4bit(*bnb.functional.quantize_4bit(weight, quant_type="nf4"))
        kept: torch.Tensor = expanded.to(layer.weight.dtype)
        layer.weight.data = kept
        return kept.float()

    return quantize


def stored(folder: str) -> Callable[[str], torch.Tensor]:
    """Return what reads a weight by its name from a fetched model's files; a KeyError is a name they do not have."""
    files: dict[str, Path] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            files |= dict.fromkeys(file.keys(), path)

    def read(name: str) -> torch.Tensor:
        with safe_open(files[name], framework="pt") as file:
            weight: torch.Tensor = file.get_tensor(name)
        return weight

    return read


def prepare(model: Any, config: RunConfig) -> Any:
    """Add LoRA, then quantise and fit layer by layer; a quantised base is quantised anew from the stored weights.

    Raises `UnsupportedError` for other layers than linear ones that are plain or in 4 bits, and in a prediction.
    """
    if is_predicted(config.device):
        raise UnsupportedError("loftq starts from the model's weights, and a prediction has none.")
    model = LOFTQ.prepare(model, config)
    read = stored(cache.manifest(config.model).folder) if config.base != "plain" else None
    for name, module in model.get_base_model().named_modules():
        if not hasattr(module, "base_layer"):
            continue
        base = module.base_layer
        try:
            original = base.weight.data if read is None else read(f"{name}.weight")
        except KeyError:
            raise UnsupportedError(f"loftq has no start: the stored weights have no {name}.weight.") from None
        if not isinstance(module, Linear | Linear4bit):
            raise UnsupportedError(f"loftq has no start for {type(base).__name__}: its base is to be in 4 bits, or "
                                   "plain linear layers.")  # fmt: skip
        quantize = in_4_bits(base) if isinstance(module, Linear4bit) else in_its_type(base)
        weight = original.to(base.weight.device, getattr(torch, config.dtype)).float()
        rank, scale = module.r["default"], module.scaling["default"]
        first, second = fitted(weight, rank, scale, int(config.options["iterations"]), quantize)
        found = len(first)  # fewer than the rank where a side is shorter; the others start as LoRA's do
        module.lora_A["default"].weight.data[:found] = first
        module.lora_B["default"].weight.data[:, :found] = second
    return model


METHOD = Method(bases.quantization, prepare, saves_adapter=True)
