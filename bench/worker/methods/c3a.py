"""C3A (Chen et al., arXiv 2407.19342): blocks of circulant matrices."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("C3AConfig", {"init": "init_weights"}).method()
