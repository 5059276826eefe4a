"""Riemannian preconditioned LoRA (Zhang and Pilanci, arXiv 2402.02347): LoRA with an optimiser of its own."""

from __future__ import annotations

from typing import Any

import torch
from peft.optimizers import create_riemannian_optimizer

from bench.schema import RunConfig
from bench.worker.methods.lora import variant


def optimizer(model: Any, config: RunConfig) -> Any:
    """Build torch's AdamW with peft's preconditioner before every step."""
    return create_riemannian_optimizer(
        model,
        torch.optim.AdamW,
        lr=config.learning_rate,
        reg=config.options["regularization"],
        weight_decay=config.weight_decay,
    )


METHOD = variant({"regularization": None}).method(optimizer=optimizer)
