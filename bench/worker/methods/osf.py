"""OSF (Nayak et al., arXiv 2504.07097): the smallest singular directions are trained, orthogonal to the largest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from bench.schema import RunConfig
from bench.worker.adapters import Adapter


def kept_ranks(model: torch.nn.Module, config: RunConfig) -> Mapping[str, Any]:
    """Return how many directions of every linear layer stay frozen: peft asks for these, not for the trained."""
    trained = int(config.options["rank"])
    if not trained:
        return {}
    layers = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear))
    return {"rank_pattern": {f"{re.escape(name)}$": min(layer.weight.shape) - trained for name, layer in layers}}


METHOD = Adapter("OSFConfig", {"rank": None}, computed=kept_ranks).method()
