"""LoRA+ (Hayou et al., arXiv 2402.12354): LoRA whose B learns faster than its A."""

from __future__ import annotations

from typing import Any

from peft.optimizers import create_loraplus_optimizer

from bench.schema import RunConfig
from bench.schema.catalogue import OPTIMIZERS, find, load
from bench.worker.methods.lora import variant


def optimizer(model: Any, config: RunConfig) -> Any:
    """Build the config's optimiser on peft's groups, each with a learning rate of its own."""
    build = load(find("optimizer", OPTIMIZERS, config.optimizer))

    def of_groups(groups: list[dict[str, Any]], lr: float) -> Any:  # noqa: ARG001 (every group has its own)
        return build([group for group in groups if group["params"]], config)

    return create_loraplus_optimizer(
        model,
        of_groups,
        lr=config.learning_rate,
        loraplus_lr_ratio=config.options["lr_ratio"],
        loraplus_weight_decay=config.weight_decay,
    )


METHOD = variant({"lr_ratio": None}).method(optimizer=optimizer)
