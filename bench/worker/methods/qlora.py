"""QLoRA (Dettmers et al., arXiv 2305.14314): LoRA on a base frozen in 4 bits."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BitsAndBytesConfig

from bench.schema import RunConfig
from bench.schema.methods.options import QUANTIZATION_OPTIONS
from bench.worker import bases
from bench.worker.methods import Method
from bench.worker.methods.lora import variant

LORA = variant(dict.fromkeys(QUANTIZATION_OPTIONS))


def quantization(config: RunConfig) -> BitsAndBytesConfig:
    """Describe the 4-bit base, as the guide's section 5.2 does."""
    bases.plain(config)
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
    cast = bool(config.options["prepare_kbit"])
    return LORA.wrap(bases.ready(model, config, quantization(config), cast=cast), config)


METHOD = Method(quantization=quantization, prepare=prepare, saves_adapter=True)
