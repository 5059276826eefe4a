"""LoRA that starts from orthogonal matrices (peft's init_lora_weights="orthogonal")."""

from __future__ import annotations

from bench.worker.methods.lora import variant

METHOD = variant(init_lora_weights="orthogonal").method()
