"""Prefix tuning (Li and Liang, arXiv 2101.00190): trained keys and values before every sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter


def start(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Name peft's initialisation."""
    return {"init_weights": "zero" if config.options["init"] == "zero" else None}


METHOD = Adapter(
    "PrefixTuningConfig",
    {"projection": "prefix_projection", "init": None},
    unset=("encoder_hidden_size",),
    computed=start,
).method()
