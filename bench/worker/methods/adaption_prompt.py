"""LLaMA-Adapter (Zhang et al., arXiv 2303.16199): tokens that upper layers attend to through a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter


def layers(model: Any, config: RunConfig) -> Mapping[str, Any]:
    """Return how many layers, from the top, are adapted."""
    return {"adapter_layers": config.options["layers"] or model.config.num_hidden_layers}


METHOD = Adapter(
    "AdaptionPromptConfig", {"num_virtual_tokens": "adapter_len", "layers": None}, computed=layers
).method()
