"""ZeRO (arXiv 1910.02054) by DeepSpeed: moments and gradients sharded (stage 2), weights too (stage 3)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from bench.errors import MissingPackageError
from bench.schema import RunConfig
from bench.worker.devices import Device
from bench.worker.loop import Trainer
from bench.worker.probes.owners import owners, tensors_in
from bench.worker.probes.trace import Block


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
        """Let the engine clip and step; return the norm of the whole gradient, NaN where float16 overflowed first."""
        self.model.step()
        norm = self.model.get_global_grad_norm()
        return torch.tensor(float("nan") if norm is None else float(norm))

    def held(self) -> list[Block]:
        """Return every storage that training holds now, the engine's own gradients and buckets of them among it."""
        kept = [getattr(self.optimizer, "grad_partitions_flat_buffer", None)]
        kept += [bucket.buffer for bucket in getattr(self.optimizer, "ipg_buckets", {}).values()]
        return owners(self.model, self.optimizer, (("gradients", tensor) for tensor in tensors_in(kept)))

    def precision(self) -> AbstractContextManager[Any]:
        """Leave precision to the engine, which ends any autocast around it."""
        return nullcontext()


def _engine(model: Any, optimizer: Any, config: RunConfig, device: Device, stage: int) -> tuple[Any, Any]:
    on_cpu = device.torch_name == "cpu"
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ModuleNotFoundError:
        raise MissingPackageError("deepspeed", "ZeRO", "pip install 'ftbench[deepspeed]'") from None
    os.environ["LOCAL_RANK"] = "0"  # which device is this process's own: each sees one
    computed = config.dtype if config.autocast == "none" else config.autocast
    settings = {
        "train_micro_batch_size_per_gpu": config.batch_size // torch.distributed.get_world_size(),
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": computed == "bfloat16"},
        "fp16": {"enabled": computed == "float16"},
        "zero_optimization": {"stage": stage, "overlap_comm": not on_cpu, **_sizes(model)},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    engine, kept, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
    return engine, kept


def _sizes(model: Any) -> dict[str, int]:
    """Return the numbers of elements that are exchanged at once, gathered early, and never taken apart.

    They are what transformers puts for "auto" (its `HfTrainerDeepSpeedConfig.trainer_config_finalize`); DeepSpeed's own
    are for large models, and its buckets of 5e8 elements would be most of a small one's memory.
    """
    width: int = model.config.get_text_config().hidden_size
    return {
        "reduce_bucket_size": width * width,
        "stage3_prefetch_bucket_size": int(0.9 * width * width),
        "stage3_param_persistence_threshold": 10 * width,
    }
