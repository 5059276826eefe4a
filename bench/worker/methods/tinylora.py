"""TinyLoRA (arXiv 2602.04118): a few trained numbers, spread by random tensors over singular directions."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("TinyLoraConfig", {"rank": "r", "vector_length": "u", "dropout": "tinylora_dropout"}).method()
