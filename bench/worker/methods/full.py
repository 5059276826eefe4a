"""Full fine-tuning: every weight of the model is trained."""

from __future__ import annotations

from typing import Any

from bench.schema import RunConfig
from bench.worker.bases import checkpoint_activations, plain
from bench.worker.methods import Method


def prepare(model: Any, config: RunConfig) -> Any:
    """Make every weight trainable."""
    model.requires_grad_(True)
    checkpoint_activations(model, config)
    return model


METHOD = Method(quantization=plain, prepare=prepare, saves_adapter=False)
