"""(IA)³ (Liu et al., arXiv 2205.05638): scales of outputs, and of inputs in feed-forward layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter
from bench.worker.targets import targets


def feedforward(model: Any, config: RunConfig) -> Mapping[str, Any]:
    """Read which layers have their inputs scaled."""
    said = str(config.options["feedforward"])
    return {"feedforward_modules": [] if said == "none" else targets(said, model)}


METHOD = Adapter("IA3Config", {"feedforward": None}, computed=feedforward).method()
