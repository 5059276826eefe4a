"""ShadowPEFT (arXiv 2604.19254): a small network beside the frozen model corrects the input of its layers."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "ShadowConfig",
    {
        "rank": "r",
        "alpha": "shadow_alpha",
        "dropout": "shadow_dropout",
        "shadow_layers": "shadow_num_hidden_layers",
        "shadow_heads": "shadow_num_attention_heads",
    },
    unset=("shadow_layers", "shadow_hidden_size", "shadow_heads", "shadow_intermediate_size"),
).method()
