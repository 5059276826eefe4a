"""PiSSA (Meng et al., arXiv 2404.02948): LoRA that starts from the weight's largest singular values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.methods.lora import variant


def start(_: Any, config: RunConfig) -> Mapping[str, str]:
    """Name peft's initialisation: an exact SVD, or a fast one of some iterations."""
    iterations = config.options["iterations"]
    return {"init_lora_weights": f"pissa_niter_{iterations}" if iterations else "pissa"}


METHOD = variant({"iterations": None}, computed=start).method()
