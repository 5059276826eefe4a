"""LoRA-FA (Zhang et al., arXiv 2308.03303): LoRA whose A is frozen, with an optimiser that knows."""

from __future__ import annotations

from typing import Any

from peft.optimizers import create_lorafa_optimizer

from bench.schema import RunConfig
from bench.worker import bases
from bench.worker.methods import Method
from bench.worker.methods.lora import LORA


def prepare(model: Any, config: RunConfig) -> Any:
    """Add LoRA and freeze its A, as peft's optimiser will."""
    model = LORA.prepare(model, config)
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            parameter.requires_grad_(False)
    return model


def optimizer(model: Any, config: RunConfig) -> Any:
    """Build peft's AdamW, which rescales B's gradients by A."""
    options = config.options
    return create_lorafa_optimizer(
        model, r=options["rank"], lora_alpha=options["alpha"], lr=config.learning_rate, weight_decay=config.weight_decay
    )


METHOD = Method(bases.quantization, prepare, saves_adapter=True, optimizer=optimizer)
