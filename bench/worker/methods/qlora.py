"""QLoRA (Dettmers et al., arXiv 2305.14314): LoRA on a base frozen in 4 bits."""

from __future__ import annotations

from typing import Any

import torch
from peft import prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig

from bench.schema import RunConfig
from bench.schema.methods.options import QUANTIZATION_OPTIONS
from bench.worker import quantized
from bench.worker.methods import Method, checkpoint_activations
from bench.worker.methods.lora import variant

LORA = variant(dict.fromkeys(QUANTIZATION_OPTIONS))


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
    quantized.quantize_experts(model, quantization(config))
    quantized.keep_weights_in_place(model)
    quantized.check_kernels(model)
    return LORA.wrap(ready(model, config), config)


def ready(model: Any, config: RunConfig) -> Any:
    """Freeze a quantised base, with all that is not quantised in float32 if the config says so."""
    if not config.options["prepare_kbit"]:
        checkpoint_activations(model, config)
        return model
    return prepare_model_for_kbit_training(
        model,
        use_gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
    )


METHOD = Method(quantization=quantization, prepare=prepare, saves_adapter=True)
