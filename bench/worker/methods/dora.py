"""DoRA (Liu et al., arXiv 2402.09353): direction and length of a weight are trained apart."""

from __future__ import annotations

from bench.worker.methods.lora import variant

METHOD = variant(use_dora=True).method()
