"""Cartridges (Eyuboglu et al., arXiv 2506.06266): a key-value cache that is trained as it is."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("CartridgeConfig", {"frozen_tokens": "num_frozen_tokens"}).method()
