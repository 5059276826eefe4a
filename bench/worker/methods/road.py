"""RoAd (Liao and Monz, arXiv 2409.00119): pairs of outputs are rotated and scaled."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("RoadConfig").method()
