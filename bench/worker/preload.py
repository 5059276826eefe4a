"""What a fork server imports once, so that no run has to. Nothing here computes."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

MODULES = (
    "bench.worker.run",
    "bench.worker.methods.qlora",
    "bench.worker.optimizers",
    "bench.worker.devices.cpu",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.tokenization_auto",
    "transformers.generation.utils",
    "transformers.integrations.bitsandbytes",
    "transformers.quantizers.quantizer_bnb_4bit",
    "accelerate",
    "peft",
    "datasets",
)


def preload() -> None:
    """Import everything a run may need; what is not installed is reported by the run that needs it."""
    for module in MODULES:
        with suppress(ImportError):
            import_module(module)
