"""The base under adapters: is it, bit for bit, what it was?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from bench.worker.probes.owners import adapter_parameters, quantization_states, tensors_in

Digests = Mapping[str, str]
"""SHA-256 of every tensor of a base, by its name where no adapter is."""


def digests(model: Any) -> Digests:
    """Return the digests of a base's parameters, buffers and quantisation states, adapters beside it or not."""
    added = adapter_parameters(model)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {name.replace(".base_layer", ""): _digest(tensor) for name, tensor in _tensors(base, added)}


def _tensors(base: Any, added: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in base.named_parameters():
        if id(parameter) not in added:
            yield name, parameter
            for state in quantization_states(parameter):
                yield from ((f"{name}, state {n}", tensor) for n, tensor in enumerate(tensors_in(state)))
    yield from base.named_buffers()


def _digest(tensor: torch.Tensor) -> str:
    held: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(held).hexdigest()


def unchanged(before: Digests, after: Digests) -> float:
    """Return the share of the tensors of before that are the same after; one that is gone is not."""
    return sum(after.get(name) == digest for name, digest in before.items()) / len(before)
