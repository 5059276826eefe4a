"""LoRA (Hu et al., arXiv 2106.09685): the base is frozen, low-rank adapters are trained."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig, get_peft_model

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker.methods import Method, plain_base


def prepare(model: Any, config: RunConfig) -> Any:
    """Freeze the base and add adapters, as the guide's section 5.3 does."""
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return with_adapters(model, config)


def with_adapters(model: Any, config: RunConfig) -> Any:
    """Wrap `model` with LoRA adapters by the config's options; raises `UnsupportedError` in peft's words."""
    options = config.options
    settings = LoraConfig(
        r=options["rank"],
        lora_alpha=options["alpha"],
        lora_dropout=options["dropout"],
        target_modules=targets(str(options["targets"])),
        bias=options["bias"],
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, settings, autocast_adapter_dtype=bool(options["autocast_adapter_dtype"]))
    except ValueError as refusal:
        raise UnsupportedError(f"peft refuses these adapters: {refusal}") from refusal


def targets(said: str) -> str | list[str]:
    """Read the option `targets`: peft's own word, or names separated by commas."""
    return said if said == "all-linear" else [name.strip() for name in said.split(",") if name.strip()]


METHOD = Method(quantization=plain_base, prepare=prepare, saves_adapter=True)
