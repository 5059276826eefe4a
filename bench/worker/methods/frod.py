"""FRoD (AAAI 2026, doi 10.1609/aaai.v40i31.39813): a few entries between full-rank bases that layers share."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "FrodConfig",
    {
        "dropout": "frod_dropout",
        "offload": "runtime_offload_base_weight",
        "projection_seed": "projection_prng_key",
    },
    fixed={"progressbar": False},
).method()
