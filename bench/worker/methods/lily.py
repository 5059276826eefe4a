"""Lily (arXiv 2407.09946): low-rank matrices that layers share, mixed by a router."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("LilyConfig", {"rank": "r", "stride_a": "stride_A", "matrices_b": "num_B"}).method()
