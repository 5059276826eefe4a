"""MiCA (arXiv 2604.01694): LoRA whose B is frozen at the weight's smallest singular directions."""

from __future__ import annotations

from bench.worker.methods.lora import variant

METHOD = variant(init_lora_weights="mica").method()
