"""PVeRA (arXiv 2512.07703): VeRA whose inner activations are drawn from a learnt distribution."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "PveraConfig", {"rank": "r", "dropout": "pvera_dropout", "projection_seed": "projection_prng_key"}
).method()
