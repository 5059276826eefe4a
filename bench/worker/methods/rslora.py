"""rsLoRA (Kalajdzievski, arXiv 2312.03732): the update is multiplied by alpha over the rank's square root."""

from __future__ import annotations

from bench.worker.methods.lora import variant

METHOD = variant(use_rslora=True).method()
