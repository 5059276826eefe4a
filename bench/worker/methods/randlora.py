"""RandLoRA (Albert et al., arXiv 2502.00987): trained sums of frozen random low-rank matrices."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "RandLoraConfig",
    {"rank": "r", "alpha": "randlora_alpha", "dropout": "randlora_dropout", "projection_seed": "projection_prng_key"},
).method()
