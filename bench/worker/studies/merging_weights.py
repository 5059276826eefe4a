"""Which change an adapter asks of the weights it sits on, and which change a merge really made.

Layer by layer, in float32 on the host: no two whole models are expanded at once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from bitsandbytes.nn import Linear4bit
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.utils.integrations import dequantize_module_weight

from bench.worker.quantized import reference_weight

Layers = Mapping[str, Any]
"""Adapted layers by their name in the base: peft's module of each, with the base's weight as it was, on the host."""


class Change(NamedTuple):
    """Squares of Frobenius norms of one layer, but for the last two; float32 weights, summed in float64.

    `base` weights, `update` asked for, `goal` base plus update, `made` merged minus base, `error` merged minus goal;
    `along` is the inner product of what was made with what was asked for; `largest` the largest absolute error.
    """

    base: float
    update: float
    goal: float
    made: float
    error: float
    along: float
    largest: float


def remember(model: Any) -> Layers:
    """Copy every layer of LoRA's kind, adapter and base as it is held, to the host; none of other adapters."""
    found = {name: copy.deepcopy(module).to("cpu") for name, module in _adapted(model)}
    for layer in found.values():
        weight = layer.get_base_layer().weight
        if getattr(weight, "module", None) is not None:  # bitsandbytes' way back to the layer that was copied
            weight.module = None
    return found


def _adapted(model: Any) -> Iterable[tuple[str, Any]]:
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer) and not isinstance(module, ParamWrapper):
            yield name, module


def dense(layer: Any) -> torch.Tensor:
    """Return a layer's weight, expanded if it is quantised: float32 on the host; it may be the layer's own memory."""
    with torch.no_grad():
        expanded = reference_weight(layer) if isinstance(layer, Linear4bit) else dequantize_module_weight(layer)
        return expanded.detach().float().cpu()


def asked_for(layer: Any) -> torch.Tensor:
    """Return base plus update of a LoRA layer, float32; DoRA rescales their sum (arXiv 2402.09353, eq. 5)."""
    weight = dense(layer.get_base_layer())
    with torch.no_grad():
        for adapter in layer.active_adapters:
            variant = layer.lora_variant.get(adapter)
            if variant is None:
                weight = weight + layer.get_delta_weight(adapter).float().cpu()
            else:
                weight = variant.merge_safe(layer, adapter, weight).float()
    return weight


def changes(layers: Layers, result: Any) -> list[Change]:
    """Compare the result of a merge with what was asked for, layer by layer in the order of `layers`.

    Where the result still has its adapters beside the base, what they add counts.
    """
    inner = result.get_base_model() if hasattr(result, "get_base_model") else result
    return [_change(layer, inner.get_submodule(name)) for name, layer in layers.items()]


def _change(layer: Any, found: Any) -> Change:
    base, goal = dense(layer.get_base_layer()), asked_for(layer)
    merged = asked_for(copy.deepcopy(found).to("cpu")) if isinstance(found, LoraLayer) else dense(found)
    update, made, error = goal - base, merged - base, merged - goal
    return Change(
        _square(base), _square(update), _square(goal), _square(made), _square(error),
        (made * update).sum(dtype=torch.float64).item(), error.abs().max().item(),
    )  # fmt: skip


def drift(layers: Layers, model: Any) -> float:
    """Return how far the base has moved: norm of its change over its norm when it was remembered."""
    inner = model.get_base_model()
    moved = whole = 0.0
    for name, layer in layers.items():
        before = dense(layer.get_base_layer())
        moved += _square(dense(inner.get_submodule(name).get_base_layer()) - before)
        whole += _square(before)
    return math.sqrt(moved / whole) if whole else math.nan


def totals(found: Iterable[Change]) -> dict[str, float | None]:
    """Return the metrics of the weights, over all layers; None where there was nothing to divide by."""
    changes = list(found)
    base, update, goal, _, error, along, _ = (math.fsum(column) for column in zip(*changes, strict=True))
    return {
        "merging.update_size": _root(update, base),
        "merging.update_kept": along / update if update else None,
        "merging.update_error": _root(error, update),
        "merging.weight_error": _root(error, goal),
        "merging.weight_error_largest": max(change.largest for change in changes),
    }


def _root(top: float, bottom: float) -> float | None:
    return math.sqrt(top / bottom) if bottom else None


def _square(tensor: torch.Tensor) -> float:
    return tensor.square().sum(dtype=torch.float64).item()
