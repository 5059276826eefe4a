"""The operations whose kernels are checked: each computes something with a layer and compares it with float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes.functional import create_dynamic_map
from peft import LoraConfig, get_peft_model

from bench.errors import UnsupportedError
from bench.schema.catalogue import Scalar
from bench.worker import quantized
from bench.worker.studies import layers
from bench.worker.studies import numerics_reference as plain
from bench.worker.studies.layers import FOUR_BITS, OUTLIERS, Form, expanded, stored, theirs
from bench.worker.studies.numerics_reference import Check, allowed, coarser, excess, off

TOKENS = 8
RANK = 8
WEIGHTS, BIASES = 0.02, 0.3
"""Standard deviations: of weights as models have them, and of biases as large as the products."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A weight [out, in] in the run's dtype on the host, the layer that holds it, and what its state describes."""

    weight: torch.Tensor
    layer: Any
    described: torch.Tensor
    form: Form
    device: str
    folder: Path
    generator: torch.Generator

    @property
    def held(self) -> str:
        """The format of the weight."""
        return self.form.format

    @property
    def dtype(self) -> torch.dtype:
        """The type of inputs and outputs."""
        return self.weight.dtype

    def normal(self, *shape: int) -> torch.Tensor:
        """Return normal numbers in the run's dtype, on the host."""
        return torch.randn(*shape, generator=self.generator).to(self.dtype)


def subject(options: dict[str, Scalar], dtype: torch.dtype, device: str, folder: Path, seed: int) -> Subject:
    """Fill a layer with normal weights, decided by the seed."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = int(options["rows"]), int(options["columns"])
    weight, bias = (
        (torch.randn(*shape, generator=generator) * size).to(dtype)
        for shape, size in (((rows, columns), WEIGHTS), ((rows,), BIASES))
    )
    form = Form.of(options)
    layer = layers.filled(weight, bias if options["bias"] else None, form, device)
    return Subject(weight, layer, stored(layer).cpu(), form, device, folder, generator)


Operation = Callable[[Subject], Iterator[Check]]


def quantize(subject: Subject) -> Iterator[Check]:
    """Scales and codes: are they the nearest that the format has? LLM.int8() quantises float16."""
    if subject.held == "plain":
        raise UnsupportedError("a plain weight is not quantised.")
    given = subject.weight.half() if subject.held == "int8" else subject.weight
    yield from _as_near_as_can_be(subject.layer, given.double(), torch.float32)


def _as_near_as_can_be(layer: Any, goal: torch.Tensor, dtype: torch.dtype) -> Iterator[Check]:
    """Compare a quantised layer with `goal` [out, in], which was quantised after roundings to `dtype`."""
    if isinstance(layer, bnb.nn.Linear8bitLt):
        step = goal.abs().amax(1, keepdim=True) / plain.INT8_LEVELS
        found = layers.scales_of(layer).double().cpu(), layer.weight.data.double().cpu() * step
        maxima = step.flatten() * plain.INT8_LEVELS
        best = maxima, torch.round(goal / step) * step
        averaged = 1
    else:
        state, goal = quantized.state_of(layer), goal.flatten()
        maxima = plain.block_maxima(goal, state.blocksize)
        sizes = plain.spread_over(goal, maxima, state.blocksize)
        found = quantized.block_scales(state, torch.float64).cpu(), quantized.stored_values(layer, torch.float64).cpu()
        found = found[0], found[1] * sizes
        scales = plain.nested_scales(maxima, create_dynamic_map()) if state.nested else maxima
        best = scales, plain.nearest(goal / sizes, state.code.cpu()) * sizes
        averaged = len(maxima) if state.nested else 1  # double quantisation takes their mean away
    yield Check("scales", excess(found[0], maxima, best[0]), allowed(dtype, terms=averaged))
    yield Check("codes", excess(found[1], goal, best[1]), allowed(dtype))


def dequantize(subject: Subject) -> Iterator[Check]:
    """The weight that the library expands from its own state."""
    yield _weights(subject, "expanded")


def _weights(subject: Subject, name: str) -> Check:
    found = expanded(subject.layer)
    return Check(name, off(found, subject.described), allowed(found.dtype))


def forward(subject: Subject) -> Iterator[Check]:
    """The product with the weight while training; of LLM.int8() also with a column that keeps 16 bits."""
    inputs = subject.normal(TOKENS, subject.weight.shape[1])
    yield _outputs(subject, "forward", inputs)
    if subject.held == "int8":
        inputs[:, 0] = 2 * OUTLIERS
        yield _outputs(subject, "forward with outliers", inputs)


def _outputs(subject: Subject, name: str, inputs: torch.Tensor, *, training: bool = True) -> Check:
    subject.layer.train(training)
    given = inputs.clone().to(subject.device).requires_grad_(training)
    with torch.set_grad_enabled(training), theirs(f"a product, {name},"):
        found = subject.layer(given)
    bias = subject.layer.bias
    expected, spread = plain.product(inputs, subject.described, None if bias is None else bias.cpu())
    lost = plain.int8_step(inputs, subject.described, expected, OUTLIERS) if subject.held == "int8" else 0.0
    dtype = coarser(subject.dtype, torch.float16) if subject.held == "int8" else subject.dtype
    bound = allowed(dtype, terms=inputs.shape[1], spread=spread, also=lost)
    return Check(name, off(found.cpu(), expected), bound)


def backward(subject: Subject) -> Iterator[Check]:
    """The gradient of the input."""
    yield _gradient(subject, "gradient of the input")


def _gradient(subject: Subject, name: str) -> Check:
    """Compare the gradient that arrives at the input; where none does it is zero."""
    inputs = subject.normal(TOKENS, subject.weight.shape[1]).to(subject.device).requires_grad_(True)
    given = subject.normal(TOKENS, subject.weight.shape[0])
    subject.layer.train()
    with theirs(f"a {name}"):
        subject.layer(inputs).backward(given.to(subject.device))
    found = torch.zeros_like(inputs) if inputs.grad is None else inputs.grad
    expected, spread = plain.product(given, subject.described.T)
    bound = allowed(subject.dtype, terms=given.shape[1], spread=spread)
    return Check(name, off(found.cpu(), expected), bound)


def evaluation(subject: Subject) -> Iterator[Check]:
    """Train, evaluate, train again: what is computed in evaluation, and whether the layer is the same afterwards."""
    width = subject.weight.shape[1]
    yield _outputs(subject, "in evaluation", subject.normal(TOKENS, width), training=False)
    yield _outputs(subject, "one token in evaluation", subject.normal(1, width), training=False)
    yield _outputs(subject, "forward afterwards", subject.normal(TOKENS, width))
    yield _gradient(subject, "gradient afterwards")
    yield _weights(subject, "weights afterwards")
    yield _reloaded(subject, "saved afterwards")


def save_load(subject: Subject) -> Iterator[Check]:
    """Saved to a file and loaded."""
    yield _reloaded(subject, "saved and loaded")


def _reloaded(subject: Subject, name: str) -> Check:
    """The weights are to be the same, bit for bit."""
    found = layers.reloaded(subject.layer, subject.form, subject.device, subject.folder / "layer.safetensors")
    return Check(name, off(stored(found).cpu(), subject.described), 0.0)


def merge(subject: Subject) -> Iterator[Check]:
    """An adapter in the weight as peft merges it: as near to weight plus update as the format can be."""
    base: Any = torch.nn.Sequential(subject.layer)
    base.is_loaded_in_4bit, base.is_loaded_in_8bit = subject.held in FOUR_BITS, subject.held == "int8"
    model: Any = get_peft_model(base, LoraConfig(r=RANK, target_modules=["0"]))
    adapted = model.base_model.model[0]
    first, second = (getattr(adapted, name)["default"].weight.data for name in ("lora_A", "lora_B"))
    second.copy_(WEIGHTS * torch.randn(second.shape, generator=subject.generator))
    update = adapted.scaling["default"] * second.double().cpu() @ first.double().cpu()
    goal = subject.described + update
    with theirs("merging"):
        found = model.merge_and_unload()[0]
    if subject.held == "plain":
        yield Check("merged", off(stored(found).cpu(), goal), allowed(subject.dtype, terms=RANK))
    else:
        rounded = coarser(subject.dtype, torch.float16) if subject.held == "int8" else subject.dtype
        yield from _as_near_as_can_be(found, goal, rounded)


OPERATIONS: Mapping[str, Operation] = MappingProxyType({
    "quantize": quantize, "dequantize": dequantize, "forward": forward, "backward": backward,
    "evaluation": evaluation, "save_load": save_load, "merge": merge,
})  # fmt: skip
