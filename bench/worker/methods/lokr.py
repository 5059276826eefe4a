"""LoKr (Yeh et al., arXiv 2309.14859): Kronecker products of small matrices."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("LoKrConfig", {"rank": "r"}).method()
