"""GraLoRA (Jung et al., arXiv 2505.20355): a grid of small low-rank matrices."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "GraloraConfig",
    {"rank": "r", "dropout": "gralora_dropout", "blocks": "gralora_k", "hybrid_rank": "hybrid_r"},
).method()
