"""LoRA (Hu et al., arXiv 2106.09685): the base is frozen, low-rank adapters are trained."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bench.worker.adapters import Adapter, Fields, nothing_more

NAMES: Mapping[str, str | None] = MappingProxyType({"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"})


def variant(own: Mapping[str, str | None] | None = None, computed: Fields = nothing_more, **fixed: Any) -> Adapter:
    """Describe LoRA with fields of peft's LoraConfig set, which is what many methods are; `own` names their options."""
    return Adapter("LoraConfig", {**NAMES, **(own or {})}, fixed=fixed, computed=computed)


LORA = variant()
METHOD = LORA.method()
