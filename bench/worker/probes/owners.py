"""Which tensor memory belongs to what: weights by kind, buffers, gradients, optimiser state.

A storage belongs to one category however many tensors look at it; the first of the order
below has it: weights, quantisation state, buffers, gradients, optimiser state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from bench.worker.probes.trace import Block

BASE_BY_DTYPE = {
    torch.float32: "base_float32",
    torch.bfloat16: "base_bfloat16",
    torch.float16: "base_float16",
    torch.int8: "base_int8",
}

WRAPPED = frozenset({"base_layer", "original_module", "base_model", "model"})
"""Names under which peft's modules keep the module of the base they stand for."""


Owned = Iterable[tuple[str, torch.Tensor]]
"""Tensors, and the category that each belongs to."""


def owners(model: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None, more: Owned = ()) -> list[Block]:
    """Return every storage that `model` and `optimizer` hold now, and `more`, each once, with its category."""
    found: dict[int, Block] = {}
    for category, tensor in (*_owned(model, optimizer), *more):
        storage = local(tensor).untyped_storage()
        address = storage.data_ptr()  # 0 on the meta device, and for no bytes
        if address:
            found.setdefault(address, Block(address, storage.nbytes(), category))
    return list(found.values())


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this process holds of a tensor that processes share (DTensor); any other is itself."""
    held: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return held


def by_address(blocks: list[Block]) -> dict[int, str]:
    """Return the category of every block's address."""
    return {block.address: block.category for block in blocks}


def _owned(model: torch.nn.Module, optimizer: torch.optim.Optimizer | None) -> Owned:
    adapted, in_four_bits = adapter_parameters(model), _weights_in_four_bits(model)
    parameters = list(model.parameters())
    for parameter in parameters:
        category = "base_4bit" if id(parameter) in in_four_bits else _base_category(parameter)
        if id(parameter) in adapted:
            category = "adapters"
        yield category, parameter
        if (part := getattr(parameter, "ds_tensor", None)) is not None:  # what ZeRO-3 keeps here of a weight
            yield category, part
    for holder in (*parameters, *model.modules()):
        for state in quantization_states(holder):
            yield from (("quantization_state", tensor) for tensor in tensors_in(state))
    yield from (("buffers", buffer) for buffer in model.buffers())
    yield from (("gradients", parameter.grad) for parameter in parameters if parameter.grad is not None)
    if optimizer is not None:
        yield from (("optimizer_state", tensor) for tensor in tensors_in(optimizer.state))
        weights = (key for key in optimizer.state if isinstance(key, torch.Tensor))  # some methods' keys are names
        yield from (("optimizer_state", weight) for weight in weights)  # copies, where they are not the model's own


def _base_category(parameter: torch.nn.Parameter) -> str:
    if getattr(parameter, "quant_state", None) is not None:
        return "base_4bit"
    return BASE_BY_DTYPE.get(parameter.dtype, "other")


def _weights_in_four_bits(model: torch.nn.Module) -> set[int]:
    """Return the ids of weights whose layer keeps their 4-bit state: one that is sharded has lost its own."""
    layers = (module for module in model.modules() if getattr(module, "quant_state", None) is not None)
    return {id(weight) for layer in layers if (weight := getattr(layer, "weight", None)) is not None}


def quantization_states(holder: object) -> Iterator[Any]:
    """Yield what bitsandbytes keeps beside a weight: on the weight (4 bits, unused 8 bits) or its module (8 bits)."""
    for name in ("quant_state", "SCB", "state"):
        state = getattr(holder, name, None)
        if isinstance(state, torch.Tensor) or _is_of_bitsandbytes(state):
            yield state


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in containers and in bitsandbytes' state objects, however deep."""
    if isinstance(value, torch.Tensor):
        yield local(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)
    elif _is_of_bitsandbytes(value):
        yield from tensors_in(vars(value))


def _is_of_bitsandbytes(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "bitsandbytes"


def adapter_parameters(model: torch.nn.Module) -> set[int]:
    """Return the ids of the parameters peft has added, whatever its method calls them.

    A module of peft's own holds its adapter beside the module it stands for. What hangs on
    it under a name of `WRAPPED` is the base's; all else is the adapter's, unless the base
    holds it too (prompt tuning keeps a reference to the embedding).
    """
    held: dict[bool, set[int]] = {True: set(), False: set()}
    seen: set[tuple[int, bool]] = set()
    waiting = [(model, False)]
    while waiting:
        module, added = waiting.pop()
        if (id(module), added) in seen:
            continue
        seen.add((id(module), added))
        of_peft = type(module).__module__.partition(".")[0] == "peft"
        held[added or of_peft].update(id(parameter) for parameter in module.parameters(recurse=False))
        for name, child in module.named_children():
            waiting.append((child, name not in WRAPPED if of_peft else added))
    return held[True] - held[False]
