"""PSOFT (Wu et al., arXiv 2505.11235): a rotation among the weight's largest singular directions."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "PsoftConfig",
    {
        "rank": "r",
        "alpha": "psoft_alpha",
        "dropout": "psoft_dropout",
        "svd": "psoft_svd",
        "iterations": "psoft_svd_lowrank_niter",
        "orthogonal": "psoft_orth",
        "scale_a": "psoft_mag_a",
        "scale_b": "psoft_mag_b",
        "projection_seed": "random_seed",
    },
).method()
