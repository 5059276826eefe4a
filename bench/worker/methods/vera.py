"""VeRA (Kopiczko et al., arXiv 2310.11454): scales around frozen random matrices that all layers share."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "VeraConfig", {"rank": "r", "dropout": "vera_dropout", "projection_seed": "projection_prng_key"}
).method()
