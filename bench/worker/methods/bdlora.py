"""BD-LoRA (arXiv 2510.23346): LoRA with block-diagonal matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.methods.lora import variant
from bench.worker.targets import listed


def blocks(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Say which matrices of which layers are block-diagonal."""
    options = config.options
    return {
        "use_bdlora": {
            "nblocks": options["blocks"],
            "target_modules_bd_a": listed(str(options["diagonal_a"])),
            "target_modules_bd_b": listed(str(options["diagonal_b"])),
        }
    }


METHOD = variant({"blocks": None, "diagonal_a": None, "diagonal_b": None}, computed=blocks).method()
