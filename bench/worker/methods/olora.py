"""OLoRA (Büyükakyüz, arXiv 2406.01775): LoRA that starts from the weight's QR decomposition."""

from __future__ import annotations

from bench.worker.methods.lora import variant

METHOD = variant(init_lora_weights="olora").method()
