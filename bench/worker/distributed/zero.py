"""ZeRO (arXiv 1910.02054) by DeepSpeed: moments and gradients sharded (stage 2), weights too (stage 3)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from bench.errors import MissingPackageError, UnsupportedError
from bench.schema import RunConfig
from bench.worker.devices import Device
from bench.worker.loop import Trainer
from bench.worker.probes.owners import owners, tensors_in
from bench.worker.probes.trace import Block

INFERENCE_ONLY = "deepspeed_shm_comm"
"""An extension for inference on CPUs (`inference_all_reduce`); DeepSpeed compiles it at its first use, for a minute."""


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
        """Let the engine clip and step; return the norm of the whole gradient, infinite where it skipped the step."""
        self.model.step()
        return torch.tensor(float(self.model.get_global_grad_norm()))

    def held(self) -> list[Block]:
        """Return every storage that training holds now, the engine's own gradients and buckets of them among it."""
        kept = [getattr(self.optimizer, name, None) for name in ("grad_partitions_flat_buffer", "averaged_gradients")]
        kept += [bucket.buffer for bucket in getattr(self.optimizer, "ipg_buckets", {}).values()]
        return owners(self.model, self.optimizer, (("gradients", tensor) for tensor in tensors_in(kept)))

    def precision(self) -> AbstractContextManager[Any]:
        """Leave precision to the engine, which ends any autocast around it."""
        return nullcontext()


def partitioned(model: Any, config: RunConfig, device: Device) -> Any:
    """Hold a part of every weight in every process (stage 3); weights come to the device one after the other."""
    deepspeed = _deepspeed(device)
    if (dtype := engine_dtype(config)) != "float32":
        for weight in model.parameters():  # as the engine does with a model that is whole
            if weight.is_floating_point():
                weight.data = weight.data.to(getattr(torch, dtype))
    deepspeed.zero.Init(module=model, config_dict_or_path=_settings(model, config, device, stage=3))
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(device.torch_name))
    return model


def _engine(model: Any, optimizer: Any, config: RunConfig, device: Device, stage: int) -> tuple[Any, Any]:
    deepspeed = _deepspeed(device)
    settings = _settings(model, config, device, stage)
    engine, kept, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
    return engine, kept


def _deepspeed(device: Device) -> Any:
    on_cpu = device.torch_name == "cpu"
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ModuleNotFoundError:
        raise MissingPackageError("deepspeed", "ZeRO", "pip install 'ftbench[deepspeed]'") from None
    os.environ["LOCAL_RANK"] = "0"  # which device is this process's own: each sees one
    if on_cpu:
        deepspeed.ops.__compatible_ops__[INFERENCE_ONLY] = False
    return deepspeed


def _settings(model: Any, config: RunConfig, device: Device, stage: int) -> dict[str, Any]:
    dtype = engine_dtype(config)
    return {
        "train_micro_batch_size_per_gpu": config.batch_size // torch.distributed.get_world_size(),
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": dtype == "bfloat16"},
        "fp16": {"enabled": dtype == "float16"},
        "zero_optimization": {"stage": stage, "overlap_comm": device.torch_name != "cpu", **_sizes(model)},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def engine_dtype(config: RunConfig) -> str:
    """Return the dtype that the engine puts weights into. Raises `UnsupportedError` where it would break 4-bit ones.

    It casts every weight that looks like numbers, also those that are bits stored as another float type.
    """
    dtype = config.dtype if config.autocast == "none" else config.autocast
    stored = config.options.get("quant_storage", dtype)
    if dtype != "float32" and stored not in ("uint8", dtype):
        raise UnsupportedError(f"DeepSpeed would cast 4-bit weights stored as {stored} to {dtype}; "
                               f"use quant_storage={dtype}.")  # fmt: skip
    return dtype


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
