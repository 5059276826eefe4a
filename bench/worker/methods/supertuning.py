"""Super-Tuning (arXiv 2607.09287): the weight's largest entries are trained, and LoRA beside them if asked for."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "SupertuningConfig",
    {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    unset=("rank", "alpha"),
).method()
