"""LoRA on a base frozen in 8 bits by LLM.int8() (Dettmers et al., arXiv 2208.07339)."""

from __future__ import annotations

from typing import Any

from transformers import BitsAndBytesConfig

from bench.schema import RunConfig
from bench.worker.methods import Method
from bench.worker.methods.lora import variant
from bench.worker.methods.qlora import ready

LORA = variant({"threshold": None, "prepare_kbit": None})


def quantization(config: RunConfig) -> BitsAndBytesConfig:
    """Describe the 8-bit base."""
    return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=config.options["threshold"])


def prepare(model: Any, config: RunConfig) -> Any:
    """Freeze, cast and wrap."""
    return LORA.wrap(ready(model, config), config)


METHOD = Method(quantization=quantization, prepare=prepare, saves_adapter=True)
