"""AdaMSS (Zheng et al., NeurIPS 2025): clusters of singular directions with small updates of their own."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("AdamssConfig", {"rank": "r", "subspaces": "num_subspaces", "projection_seed": "random_seed"}).method()
