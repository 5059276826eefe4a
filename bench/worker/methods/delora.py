"""DeLoRA (Bini et al., arXiv 2503.18225): LoRA of normalised rank-one parts with a trained length."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("DeloraConfig", {"rank": "r", "length": "delora_lambda"}).method()
