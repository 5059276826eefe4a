"""VB-LoRA (Li et al., arXiv 2405.15179): low-rank matrices composed of vectors from a shared bank."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("VBLoRAConfig", {"rank": "r", "vectors": "num_vectors", "dropout": "vblora_dropout"}).method()
