"""GLoRA (Chavan et al., arXiv 2306.07967): scales and shifts of weights and outputs, each of its own shape."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "GloraConfig", {"rank": "r", "weights": "config_A_B", "prompt": "config_C", "biases": "config_D_E"}
).method()
