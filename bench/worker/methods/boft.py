"""BOFT (Liu et al., arXiv 2311.06243): the inputs are rotated by products of sparse rotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter


def blocks(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Return the number of blocks or, of which peft wants only one, their side."""
    count = config.options["blocks"]
    return {"boft_block_num": count, "boft_block_size": 0 if count else config.options["block_size"]}


METHOD = Adapter(
    "BOFTConfig",
    {"blocks": None, "block_size": None, "factors": "boft_n_butterfly_factor", "dropout": "boft_dropout"},
    computed=blocks,
).method()
