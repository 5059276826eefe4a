"""Prompt tuning (Lester et al., arXiv 2104.08691): trained embeddings before every sequence."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("PromptTuningConfig", {"init": "prompt_tuning_init"}).method()
