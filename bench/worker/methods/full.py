"""Full fine-tuning: every weight of the model is trained."""

from __future__ import annotations

from typing import Any

from bench.schema import RunConfig
from bench.worker.methods import Method, plain_base


def prepare(model: Any, config: RunConfig) -> Any:
    """Make every weight trainable."""
    model.requires_grad_(True)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


METHOD = Method(quantization=plain_base, prepare=prepare, saves_adapter=False)
