"""QLoRA (Dettmers et al., arXiv 2305.14314): LoRA on a base frozen in 4 bits."""

from __future__ import annotations

from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig

from bench.schema import RunConfig
from bench.worker import quantized
from bench.worker.methods import Method
from bench.worker.methods.lora import with_adapters


def quantization(config: RunConfig) -> BitsAndBytesConfig:
    """Describe the 4-bit base, as the guide's section 5.2 does."""
    options = config.options
    compute = config.dtype if options["compute_dtype"] == "model" else str(options["compute_dtype"])
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options["quant_type"],
        bnb_4bit_use_double_quant=options["double_quant"],
        bnb_4bit_compute_dtype=getattr(torch, compute),
        bnb_4bit_quant_storage=getattr(torch, str(options["quant_storage"])),
    )


def prepare(model: Any, config: RunConfig) -> Any:
    """Refuse broken kernels, then freeze, cast and wrap. Raises `KernelError`."""
    quantized.keep_weights_in_place(model)
    quantized.check_kernels(model)
    checkpointing = {"use_gradient_checkpointing": config.gradient_checkpointing}
    if config.gradient_checkpointing:
        checkpointing["gradient_checkpointing_kwargs"] = {"use_reentrant": False}  # type: ignore[assignment]
    if config.options["prepare_kbit"]:
        model = prepare_model_for_kbit_training(model, **checkpointing)
    elif config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return with_adapters(model, config)


METHOD = Method(quantization=quantization, prepare=prepare, saves_adapter=True)
