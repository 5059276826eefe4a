"""LoRA on a base frozen in 8 bits by LLM.int8() (Dettmers et al., arXiv 2208.07339)."""

from __future__ import annotations

from typing import Any

from transformers import BitsAndBytesConfig

from bench.schema import RunConfig
from bench.worker import bases
from bench.worker.methods import Method
from bench.worker.methods.lora import variant

LORA = variant({"threshold": None, "prepare_kbit": None})


def quantization(config: RunConfig) -> BitsAndBytesConfig:
    """Describe the 8-bit base."""
    bases.plain(config)
    return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=config.options["threshold"])


def prepare(model: Any, config: RunConfig) -> Any:
    """Freeze, cast and wrap."""
    cast = bool(config.options["prepare_kbit"])
    return LORA.wrap(bases.ready(model, config, quantization(config), cast=cast), config)


METHOD = Method(quantization=quantization, prepare=prepare, saves_adapter=True)
