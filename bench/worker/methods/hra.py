"""HRA (Yuan et al., arXiv 2405.17484): chains of Householder reflections."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("HRAConfig", {"rank": "r", "orthogonalize": "apply_GS"}).method()
