"""How a model is made ready to train: one file a method, each with a `METHOD`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Method:
    """`quantization` gives transformers' quantization_config, or None for a plain base.

    `prepare` takes the loaded model and returns it with exactly the weights trainable
    that this method trains. `saves_adapter` says that what is kept after training is an
    adapter and not the model.
    """

    quantization: Callable[[RunConfig], Any]
    prepare: Callable[[Any, RunConfig], Any]
    saves_adapter: bool
    optimizer: Callable[[Any, RunConfig], Any] | None = None
    """Takes the prepared model and returns its torch optimiser, in place of the config's own."""
    after_step: Callable[[Any, int], None] | None = None
    """Takes the model and the number of the optimiser step just made, from 1, while its gradients are still there."""
