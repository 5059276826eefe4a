"""MiSS, formerly Bone (Kang and Yin, arXiv 2409.15371): one small matrix, repeated over the weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter


def kind(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Name peft's initialisation, which is the variant too."""
    init = config.options["init"]
    return {"init_weights": True if init == "default" else init}


METHOD = Adapter(
    "MissConfig", {"rank": "r", "mini_rank": "mini_r", "dropout": "miss_dropout", "init": None}, computed=kind
).method()
