"""LN tuning (Zhao et al., arXiv 2312.11420): the weights of the normalisation layers are trained."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("LNTuningConfig").method()
