"""What was really built, read back from the model and not from the config."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

import torch

from bench.schema.catalogue import Scalar

SHARED = ("rank", "alpha", "dropout", "bias")
"""Settings that every record of an adapter has, if its kind knows them."""


def counts(model: Any) -> dict[str, int]:
    """Count weights: all of them and those that get a gradient. A 4-bit weight counts as one."""
    total = trainable = 0
    for parameter in model.parameters():
        size = _weights_in(parameter)
        total += size
        trainable += size if parameter.requires_grad else 0
    return {"parameters.total": total, "parameters.trainable": trainable}


def _weights_in(parameter: Any) -> int:
    state = getattr(parameter, "quant_state", None)
    return int(state.shape.numel()) if state is not None else int(parameter.numel())


def settings(model: Any) -> dict[str, Scalar]:
    """Describe base, quantisation, adapters and attention as they are in the built model."""
    described: dict[str, Scalar] = {
        "base.class": type(_base_of(model)).__name__,
        "base.attention": str(getattr(model.config, "_attn_implementation", "unknown")),
        "base.gradient_checkpointing": any(getattr(m, "gradient_checkpointing", False) for m in model.modules()),
        **_dtypes(model),
        **_quantization(model),
    }
    if hasattr(model, "peft_config"):
        described.update(_adapters(model))
    return described


def _base_of(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _dtypes(model: Any) -> dict[str, Scalar]:
    """The type that most plain frozen weights have, or most weights if none is frozen, and that of the trained ones."""
    plain: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for parameter in model.parameters():
        if getattr(parameter, "quant_state", None) is not None or parameter.dtype == torch.int8:
            continue
        name = str(parameter.dtype).removeprefix("torch.")
        (trained if parameter.requires_grad else plain)[name] += parameter.numel()
    found = {"base.dtype": (plain or trained).most_common(1)[0][0]}
    if trained:
        found["trained.dtype"] = trained.most_common(1)[0][0]
    return dict(found)


def _quantization(model: Any) -> dict[str, Scalar]:
    """Describe the 4-bit and 8-bit layers; layers that differ among themselves are all named."""
    kinds: Counter[str] = Counter()
    computes: set[str] = set()
    switches: set[bool] = set()
    for module in model.modules():
        if hasattr(module, "base_layer"):  # an adapter shows the weight of the layer it wraps
            continue
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.nn.Parameter) and weight.dtype == torch.int8:
            kinds[f"int8, inputs beyond {module.state.threshold:g} apart"] += 1
        state = getattr(weight, "quant_state", None)
        if state is None:
            continue
        nested = "double quantised, " if state.nested else ""
        kinds[f"{state.quant_type}, {nested}{state.blocksize} to a block"] += 1
        computes.add(str(module.compute_dtype).removeprefix("torch."))
        switches.add(bool(getattr(module, "support_avx512bf16_for_cpu", False)))
    if not kinds:
        return {"base.quantization": "none"}
    found: dict[str, Scalar] = {
        "base.quantization": "; ".join(sorted(kinds)),
        "base.quantized_layers": sum(kinds.values()),
    }
    if computes:  # only 4-bit layers say so
        found |= {"base.compute_dtype": ", ".join(sorted(computes)), "base.repacks_for_evaluation": any(switches)}
    return found


def _adapters(model: Any) -> dict[str, Scalar]:
    """Describe the active adapter: its kind, the layers it really sits on, and its settings as peft has them.

    Rank, scale, dropout and bias always, under one name for all kinds; others under peft's name where they are
    not peft's default.
    """
    from peft import PeftConfig

    settings = model.peft_config["default"]
    kind = str(getattr(settings.peft_type, "value", settings.peft_type))
    found: dict[str, Scalar] = {"adapter.kind": kind}
    adapted = [name for name, module in model.named_modules() if hasattr(module, "base_layer")]
    if adapted:
        found["adapter.layers"] = len(adapted)
        found["adapter.targets"] = ", ".join(sorted({name.rpartition(".")[2] for name in adapted}))
    general = {setting.name for setting in fields(PeftConfig)}
    for told in (*_experts(model), settings):
        of_kind = str(getattr(told.peft_type, "value", told.peft_type))
        for setting in fields(told):
            value = getattr(told, setting.name)
            value = getattr(value, "value", value)  # of an enumeration
            name = _shared_name(setting.name, of_kind)
            known = isinstance(value, bool | int | float | str) and setting.name not in general
            if known and (name in SHARED or value != setting.default):
                found[f"adapter.{name}"] = value
    return found


def _experts(model: Any) -> list[Any]:
    """Return the settings of the first of X-LoRA's experts, which are alike; none of other adapters."""
    inner = getattr(model.base_model, "lora_model", None)
    return [found for name, found in getattr(inner, "peft_config", {}).items() if name != "default"][:1]


def _shared_name(name: str, kind: str) -> str:
    """Return what a setting of peft is called here: `vera_dropout` is dropout, and `target_r` the rank that counts."""
    if name in ("r", "target_r"):
        return "rank"
    plain = name.removeprefix(f"{kind.lower()}_").removeprefix("lora_")
    return plain if plain in ("alpha", "dropout") else name
