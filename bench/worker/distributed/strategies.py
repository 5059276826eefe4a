"""How a model is spread over processes, by torch's own means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import _disable_current_modes

from bench.schema import RunConfig
from bench.worker.devices import Device
from bench.worker.distributed.zero import partitioned, zero
from bench.worker.loop import Trainer
from bench.worker.methods import Method
from bench.worker.models import EVERY_CARD
from bench.worker.refusals import refusing
from bench.worker.training import MakeTrainer

Spread = Callable[[Any, RunConfig, Device], Any]
"""Takes a model that is ready to train on this process's device, and returns what is to be trained in its place."""


def alone(model: Any, _: RunConfig, __: Device) -> Any:
    """Train on one device."""
    return model


def replicated(model: Any, _: RunConfig, device: Device) -> Any:
    """Hold the whole model in every process, and average gradients while they are computed."""
    where = None if device.torch_name == "cpu" else [torch.device(device.torch_name)]
    return DistributedDataParallel(model, device_ids=where, broadcast_buffers=False)


def sharded(model: Any, config: RunConfig, device: Device) -> Any:
    """Hold a part of every weight, gradient and moment in every process; gather each layer's weights to compute.

    With `forward_prefetch` a layer asks for the next one's weights before it computes, and not only torch's own
    stream order overlaps them.
    """
    with _disable_current_modes():  # a mesh is made of processes' numbers, and where tensors are simulated they are not
        mesh = init_device_mesh(device.torch_name.partition(":")[0], (torch.distributed.get_world_size(),))
    layers = blocks(model)
    with refusing("fully_shard", AssertionError, RuntimeError):
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    if config.study_options["forward_prefetch"]:
        for layer, following in pairwise(layers):
            layer.set_modules_to_forward_prefetch([following])
    return model


def blocks(model: Any) -> Sequence[Any]:
    """Return the layers that the model's own code says are not to be taken apart, in their order."""
    kept = set(getattr(model, "_no_split_modules", None) or ())
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    kept |= set(getattr(inner, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in kept]


class ReplicatedTrainer(Trainer):
    """Steps a model inside DistributedDataParallel."""

    @property
    def bare(self) -> Any:
        """The model that is replicated."""
        return self.model.module


class ShardedTrainer(Trainer):
    """Steps a model whose gradients are DTensors: their norm is one number of all processes."""

    def update(self) -> torch.Tensor:
        """Clip and step; return the norm of the whole gradient."""
        norm = super().update()
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def place_of(method: Method, config: RunConfig) -> str:
    """Return where weights are loaded, if not on the process's device.

    What is sharded stays on the host, and is taken from there in parts: a device may have no room for all. Bitsandbytes
    quantises whole layers on the device, so that a quantised base has to be there first.
    """
    strategy = config.study_options["strategy"]
    if strategy == "device_map":
        return EVERY_CARD
    return "cpu" if strategy in ("fsdp2", "zero3") and method.quantization(config) is None else ""


STRATEGIES: Mapping[str, tuple[Spread, MakeTrainer]] = MappingProxyType({
    "one": (alone, Trainer),
    "ddp": (replicated, ReplicatedTrainer),
    "fsdp2": (sharded, ShardedTrainer),
    "zero2": (alone, zero(2)),  # the engine spreads what the optimiser has
    "zero3": (partitioned, zero(3)),
    "device_map": (alone, Trainer),
})  # fmt: skip
"""How the model is spread, and who steps it."""
