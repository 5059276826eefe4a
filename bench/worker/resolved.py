"""What was really built, read back from the model and not from the config."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bench.schema.catalogue import Scalar


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
        if getattr(parameter, "quant_state", None) is not None:
            continue
        name = str(parameter.dtype).removeprefix("torch.")
        (trained if parameter.requires_grad else plain)[name] += parameter.numel()
    found = {"base.dtype": (plain or trained).most_common(1)[0][0]}
    if trained:
        found["trained.dtype"] = trained.most_common(1)[0][0]
    return dict(found)


def _quantization(model: Any) -> dict[str, Scalar]:
    """Describe the 4-bit layers; layers that differ among themselves are all named."""
    kinds: Counter[str] = Counter()
    computes: set[str] = set()
    switches: set[bool] = set()
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is None or hasattr(module, "base_layer"):  # an adapter shows the weight of the layer it wraps
            continue
        nested = "double quantised, " if state.nested else ""
        kinds[f"{state.quant_type}, {nested}{state.blocksize} to a block"] += 1
        computes.add(str(module.compute_dtype).removeprefix("torch."))
        switches.add(bool(getattr(module, "support_avx512bf16_for_cpu", False)))
    if not kinds:
        return {"base.quantization": "none"}
    return {
        "base.quantization": "; ".join(sorted(kinds)),
        "base.quantized_layers": sum(kinds.values()),
        "base.compute_dtype": ", ".join(sorted(computes)),
        "base.repacks_for_evaluation": any(switches),
    }


def _adapters(model: Any) -> dict[str, Scalar]:
    """Describe the active adapter: its kind, rank, scale and the layers it really sits on."""
    settings = model.peft_config["default"]
    adapted = [name for name, module in model.named_modules() if hasattr(module, "base_layer")]
    found: dict[str, Scalar] = {
        "adapter.kind": str(getattr(settings.peft_type, "value", settings.peft_type)),
        "adapter.layers": len(adapted),
        "adapter.targets": ", ".join(sorted({name.rpartition(".")[2] for name in adapted})),
    }
    for key, attribute in (("rank", "r"), ("alpha", "lora_alpha"), ("dropout", "lora_dropout"), ("bias", "bias")):
        value = getattr(settings, attribute, None)
        if value is not None:
            found[f"adapter.{key}"] = value
    return found
