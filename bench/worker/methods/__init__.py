"""How a model is made ready to train: one file a method, each with a `METHOD`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.schema import RunConfig
from bench.worker.encoding import Tokens

Begin = Callable[[Any, Sequence[Tokens], RunConfig], None]
"""Takes a prepared model, the training sequences, cut to the config's length, and the config."""


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
    begin: Begin | None = None
    """Gives the prepared model a start that needs data, before anything is counted or trained."""
    after_step: Callable[[Any, int], None] | None = None
    """Takes the model and the number of the optimiser step just made, from 1, while its gradients are still there."""
