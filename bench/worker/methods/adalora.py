"""AdaLoRA (Zhang et al., arXiv 2303.10512): ranks are cut while training, where they matter least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.schema import RunConfig
from bench.worker import bases
from bench.worker.adapters import Adapter
from bench.worker.methods import Method


def schedule(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Return the rank at the start and the number of steps that ranks are cut in."""
    rank, at_first = int(config.options["rank"]), int(config.options["init_rank"])
    return {"init_r": at_first or (3 * rank + 1) // 2, "total_step": config.steps}


ADALORA = Adapter(
    "AdaLoraConfig",
    {"rank": "target_r", "init_rank": None, "alpha": "lora_alpha", "dropout": "lora_dropout", "delta_t": "deltaT"},
    computed=schedule,
)


def prepare(model: Any, config: RunConfig) -> Any:
    """Add the adapter; the current rank, a constant to divide by, stays one where peft casts it to float32."""
    model = ADALORA.prepare(model, config)
    for name, parameter in model.named_parameters():
        if "ranknum" in name:
            parameter.requires_grad_(False)
    return model


def after_step(model: Any, number: int) -> None:
    """Weigh the ranks by their gradients and cut those that are due."""
    model.base_model.update_and_allocate(number)


METHOD = Method(bases.quantization, prepare, saves_adapter=True, after_step=after_step)
