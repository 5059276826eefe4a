"""How a frozen base is held under an adapter: in the run's dtype, or quantised by bitsandbytes."""

from __future__ import annotations

from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker import quantized


def plain(config: RunConfig) -> None:
    """Do not quantise. Raises `UnsupportedError` where the config wants another base than a plain one."""
    if config.base != "plain":
        raise UnsupportedError(f"base={config.base!r} cannot be used: {config.method} decides how its base is held.")


def quantization(config: RunConfig) -> BitsAndBytesConfig | None:
    """Describe the base that `config.base` names, 4-bit ones as the guide's section 5.2 does; None for a plain one."""
    if config.base == "plain":
        return None
    if config.base == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=config.base,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, config.dtype),
    )


def ready(model: Any, config: RunConfig, settings: BitsAndBytesConfig | None, *, cast: bool = True) -> Any:
    """Make a loaded base ready for its adapter; `settings` say how it was quantised, if it was.

    A quantised base is frozen, and with `cast` all of it that is not quantised is float32, as peft's
    prepare_model_for_kbit_training does. Raises `KernelError` where 4-bit kernels are broken.
    """
    if settings is not None and settings.load_in_4bit:
        quantized.quantize_experts(model, settings)
        quantized.keep_weights_in_place(model)
        quantized.check_kernels(model)
    if settings is None or not cast:
        checkpoint_activations(model, config)
        return model
    return prepare_model_for_kbit_training(
        model,
        use_gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )


def checkpoint_activations(model: Any, config: RunConfig) -> None:
    """Keep only every layer's input for the backward pass, if the config says so (arXiv 1604.06174)."""
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
