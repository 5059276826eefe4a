"""Uni-LoRA (arXiv 2506.00799): one trained vector fills the low-rank matrices of all layers."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "UniLoraConfig",
    {
        "rank": "r",
        "vector_length": "theta_d_length",
        "dropout": "unilora_dropout",
        "projection_seed": "proj_seed",
    },
).method()
