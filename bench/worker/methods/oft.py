"""OFT (Qiu et al., arXiv 2306.07280): the inputs are rotated block by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter


def blocks(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Return the number of blocks or, of which peft wants only one, their side."""
    rank = config.options["rank"]
    return {"r": rank, "oft_block_size": 0 if rank else config.options["block_size"]}


METHOD = Adapter("OFTConfig", {"rank": None, "block_size": None}, computed=blocks).method()
