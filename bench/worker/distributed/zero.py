"""ZeRO (arXiv 1910.02054) by DeepSpeed: moments and gradients sharded (stage 2), weights too (stage 3)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from bench.errors import MissingPackageError
from bench.schema import RunConfig
from bench.worker.devices import Device
from bench.worker.loop import Trainer


def zero(stage: int) -> Callable[[Any, RunConfig, Device], Trainer]:
    """Return what makes the trainer of a stage; it raises `MissingPackageError` without deepspeed."""

    def make(model: Any, config: RunConfig, device: Device) -> Trainer:
        return EngineTrainer(model, config, device, stage)

    return make


class EngineTrainer(Trainer):
    """Steps a model inside DeepSpeed's engine, which averages, clips and updates."""

    def __init__(self, model: Any, config: RunConfig, device: Device, stage: int) -> None:
        super().__init__(model, config, device)
        self._bare = model
        self.model, self.optimizer = _engine(model, self.optimizer, config, device, stage)

    @property
    def bare(self) -> Any:
        """The model inside the engine."""
        return self._bare

    def backward(self, loss: torch.Tensor) -> None:
        """Let the engine take the gradients, and exchange them while they come."""
        self.model.backward(loss)

    def update(self) -> torch.Tensor:
        """Let the engine clip and step; return the norm of the whole gradient."""
        self.model.step()
        return torch.as_tensor(float(self.model.get_global_grad_norm()))


def _engine(model: Any, optimizer: Any, config: RunConfig, device: Device, stage: int) -> tuple[Any, Any]:
    on_cpu = device.torch_name == "cpu"
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ModuleNotFoundError:
        raise MissingPackageError("deepspeed", "ZeRO", "pip install 'ftbench[deepspeed]'") from None
    settings = {
        "train_micro_batch_size_per_gpu": config.batch_size // torch.distributed.get_world_size(),
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": config.dtype == "bfloat16"},
        "fp16": {"enabled": config.dtype == "float16"},
        "zero_optimization": {"stage": stage, "overlap_comm": not on_cpu},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    engine, kept, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
    return engine, kept
