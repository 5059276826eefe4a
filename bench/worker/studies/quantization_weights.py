"""Weights held in few bits: made layer by layer, their errors summed, and every bit that holds them counted."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.worker.devices import Device
from bench.worker.studies.layers import Form, filled, held_in, stored
from bench.worker.studies.numerics_reference import block_maxima, spread_over

UNIFORM_LEVELS = 7
"""Codes of uniform 4-bit on either side of zero: symmetric, so that zero is exact and one of 16 codes is not used."""

NORMAL = (1024, 1024)
"""Shape of the standard normal numbers that every format is tried on."""


@dataclass(slots=True)
class Errors:
    """Sums over weights, in float64: of squared and absolute differences, and of squared weights."""

    squared: float = 0.0
    absolute: float = 0.0
    whole: float = 0.0
    count: int = 0

    def add(self, found: torch.Tensor, weight: torch.Tensor) -> None:
        """Add the differences of one layer, both float32."""
        difference = found - weight
        self.squared += difference.square().sum(dtype=torch.float64).item()
        self.absolute += difference.abs().sum(dtype=torch.float64).item()
        self.whole += weight.square().sum(dtype=torch.float64).item()
        self.count += weight.numel()

    def numbers(self, start: str) -> dict[str, float | None]:
        """Return the metrics whose names begin with `start`; None where there is nothing to divide by."""
        mean = self.squared / self.count if self.count else None
        return {
            f"{start}mse": mean,
            f"{start}rmse": None if mean is None else math.sqrt(mean),
            f"{start}mae": self.absolute / self.count if self.count else None,
            f"{start}relative_error": math.sqrt(self.squared / self.whole) if self.whole else None,
        }


@dataclass(slots=True)
class Held:
    """Layers that were quantised: their errors beside those of uniform 4-bit, the seconds it took, and themselves."""

    ours: Errors = field(default_factory=Errors)
    uniform: Errors = field(default_factory=Errors)
    seconds: float = 0.0
    layers: list[Any] = field(default_factory=list)

    def hold(self, linear: torch.nn.Linear, form: Form, device: Device) -> Any:
        """Return a layer that holds a linear layer's weight as `form` says, and add up what that costs."""
        weight = linear.weight.detach()
        bias = None if linear.bias is None else linear.bias.detach()
        device.synchronize()
        start = time.perf_counter()
        made = filled(weight, bias, form, device.torch_name)
        device.synchronize()
        self.seconds += time.perf_counter() - start
        plain = weight.float()
        self.ours.add(stored(made, torch.float32), plain)
        self.uniform.add(uniform(plain, form.blocksize), plain)
        self.layers.append(made)
        return made

    def numbers(self, start: str) -> dict[str, float | None]:
        """Return the errors of the format and of uniform 4-bit as metrics whose names begin with `start`."""
        return {**self.ours.numbers(start), **self.uniform.numbers(f"{start}uniform_")}


def uniform(weight: torch.Tensor, blocksize: int) -> torch.Tensor:
    """Return a weight after uniform 4-bit quantisation by blocks, scaled by the block's largest absolute value."""
    flat = weight.flatten()
    step = spread_over(flat, block_maxima(flat, blocksize), blocksize) / UNIFORM_LEVELS
    codes = torch.where(step > 0, flat / step, torch.zeros_like(flat)).round()
    return (codes * step).reshape(weight.shape)


def hold_model(model: Any, form: Form, device: Device) -> Held:
    """Replace the linear layers of a model by layers that hold their weights as `form` says; the head stays.

    A form that is a dtype is the whole model's afterwards.
    """
    held = Held()
    for parent, name, linear in list(_linear_layers(model)):
        setattr(parent, name, held.hold(linear, form, device))
    if form.dtype is not None:
        model.to(form.dtype)
    return held


def _linear_layers(model: Any) -> Iterator[tuple[torch.nn.Module, str, torch.nn.Linear]]:
    """Yield what transformers quantises: every linear layer but the output embeddings."""
    head = model.get_output_embeddings()
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is torch.nn.Linear and child is not head:
                yield parent, name, child


def hold_normal(form: Form, dtype: torch.dtype, device: Device, seed: int) -> Held:
    """Hold standard normal numbers, rounded to `dtype`, as `form` says."""
    held = Held()
    rows, columns = NORMAL
    linear = torch.nn.Linear(columns, rows, bias=False)
    numbers = torch.randn(NORMAL, generator=torch.Generator().manual_seed(seed)).to(device.torch_name, dtype)
    linear.weight = torch.nn.Parameter(numbers, requires_grad=False)
    held.hold(linear, form, device)
    return held


def bits(held: Held) -> dict[str, float | None]:
    """Return bits over the quantised weights, by what they hold and in all."""
    parts = [held_in(layer) for layer in held.layers]
    found: dict[str, float | None] = {
        f"quantization.{part}_bits": 8 * size(tensor for layer in parts for tensor in layer[part]) / held.ours.count
        for part in ("payload", "scale", "table")
    }
    return {**found, "quantization.bits": math.fsum(number for number in found.values() if number is not None)}


def model_size(model: torch.nn.Module, held: Held) -> int:
    """Return the bytes of a model's weights, biases, scales and tables."""
    quantised = (tensor for layer in held.layers for part in held_in(layer).values() for tensor in part)
    return size((*model.parameters(), *quantised))


def size(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of tensors, each storage once."""
    storages: Mapping[int, int] = {
        storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)
    }
    return sum(storages.values())
