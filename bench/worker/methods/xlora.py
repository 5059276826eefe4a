"""X-LoRA (Buehler and Buehler, arXiv 2402.07148): LoRA adapters whose shares a router says, token by token.

The router reads the last hidden states of a pass without adapters, so every pass is two, and generation, as in peft
(0.21.2), is without a cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import peft
import torch
from peft.tuners.lora.layer import LoraLayer
from safetensors.torch import save_file

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker import bases
from bench.worker.adapters import wrapped
from bench.worker.methods import Method
from bench.worker.methods.lora import LORA

ROUTER: Mapping[str, str] = {
    "router_layers": "xlora_depth", "router_width": "xlora_size", "temperature": "softmax_temperature",
    "layerwise": "layerwise_scalings", "top_k": "top_k_lora",
}  # fmt: skip
"""Options of the router, and what they are called in peft's config."""


def describe(model: Any, config: RunConfig, folder: Path) -> Any:
    """Return peft's config of as many experts as asked for, and of their router.

    peft reads experts from folders. Here each has a config of LoRA and no weights, so it starts as LoRA does; its
    name is the number that peft gives it anyway.
    """
    numbers = [str(number) for number in range(int(config.options["experts"]))]
    expert = peft.LoraConfig(**LORA.fields(model, config.but(method="lora")))
    for number in numbers:
        expert.save_pretrained(folder / number)
        save_file({}, folder / number / "adapter_model.safetensors")
    router = {field: config.options[option] for option, field in ROUTER.items()}
    return peft.XLoraConfig(
        task_type="CAUSAL_LM",
        hidden_size=model.config.hidden_size,
        adapters={number: str(folder / number) for number in numbers},
        use_trainable_adapters=True,
        **{**router, "top_k_lora": router["top_k_lora"] or None},
    )


def prepare(model: Any, config: RunConfig) -> Any:
    """Add the experts and their router, all of them trained. Raises `UnsupportedError` for what peft does not route."""
    if config.gradient_checkpointing:
        raise UnsupportedError("X-LoRA does not work with gradient checkpointing: peft hands shares to layers during "
                               "the forward pass alone, and layers computed again would get none.")  # fmt: skip
    model = bases.ready(model, config, bases.quantization(config))
    with tempfile.TemporaryDirectory(prefix="ftbench-experts-") as folder:
        routed = wrapped(model, config, lambda: describe(model, config, Path(folder)))
    _refuse_unrouted(routed)
    if not config.options["autocast_adapter_dtype"]:
        _cast_experts(routed, getattr(torch, config.dtype))
    routed.merge_and_unload = routed.merge_adapter = _refuse_merge
    routed.save_pretrained = _saving(routed)
    return routed


def _refuse_unrouted(model: Any) -> None:
    """Refuse layers that peft leaves as they are: their forward knows no shares, and would fail in the first step."""
    left = {type(module).__name__ for module in model.modules()
            if isinstance(module, LoraLayer) and "forward" not in vars(module)}  # fmt: skip
    if left:
        raise UnsupportedError(f"peft {peft.__version__} routes X-LoRA's experts on plain layers alone, and not on "
                               f"{', '.join(sorted(left))}.")  # fmt: skip


def _cast_experts(model: Any, kind: torch.dtype) -> None:
    """Take back what peft does to the experts' type as it loads them, whatever it is told about it."""
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.to(kind)


def _refuse_merge(*_: Any, **__: Any) -> NoReturn:
    """Refuse what peft would do: add all experts to the base, each in full."""
    raise NotImplementedError("X-LoRA's shares depend on the input, so no weight holds them.")


def _saving(model: Any) -> Any:
    """Return what saves every trained weight; peft's own (0.21.2) takes the experts' numbers for those of layers."""

    def save_pretrained(folder: str | Path, **_: Any) -> None:
        kept = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file(kept, Path(folder) / "adapter_model.safetensors")

    return save_pretrained


METHOD = Method(bases.quantization, prepare, saves_adapter=True)
