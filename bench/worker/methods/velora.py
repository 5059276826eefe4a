"""VeLoRA (Miles et al., arXiv 2405.17991): LoRA that keeps projections of inputs for the backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.methods.lora import variant


def compression(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Say how inputs are compressed."""
    options = config.options
    settings = {"num_groups": options["groups"], "scale": options["scale"], "init_type": options["init_type"]}
    return {"velora_config": settings}


METHOD = variant({"groups": None, "scale": None, "init_type": None}, computed=compression).method()
