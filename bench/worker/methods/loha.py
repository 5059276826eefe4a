"""LoHa (Hyeon-Woo et al., arXiv 2108.06098): elementwise products of two low-rank matrices."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("LoHaConfig", {"rank": "r"}).method()
