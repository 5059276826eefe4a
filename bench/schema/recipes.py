"""The guide's four use cases (section 6) as settings of runs, each beside its nearest alternatives.

What the guide leaves open is filled in: alpha is twice the rank, as in its section 5; layers are all linear ones; of a
range of batch sizes the largest is the recipe, the smallest an alternative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One use case: its name for people, the guide's own cells, a task of its kind, settings, and what to change.

    `settings` are a method and settings of its runs; `alternatives` change them, by what each is called. 16-bit bases
    are `sixteen_bits`: float16 where the device has it, and what the suites use on a CPU.
    """

    label: str
    guide: str
    task: str
    settings: Settings
    alternatives: Mapping[str, Settings]
    sixteen_bits: bool = False

    @property
    def variants(self) -> Mapping[str, Settings]:
        """The recipe and its alternatives, whole, by name."""
        changed = {name: {**self.settings, **changes} for name, changes in self.alternatives.items()}
        return {AS_STATED: self.settings, **changed}


AS_STATED = "as the guide says"
NF4 = MappingProxyType({"base": "nf4"})


def _lora(rank: int, batch_size: int, **settings: Any) -> Settings:
    return {"method": "lora", "rank": rank, "alpha": 2 * rank, "batch_size": batch_size, **settings}


RECIPES: Mapping[str, Recipe] = MappingProxyType({
    "faq": Recipe(
        "FAQ chatbot", "QLoRA, rank 8, NF4, batch 1-4", "faq", _lora(8, 4, base="nf4"),
        {"LoRA": {"base": "plain"}, "rank 16": {"rank": 16, "alpha": 32}, "batch 1": {"batch_size": 1}},
    ),
    "code": Recipe(
        "code completion", "LoRA, rank 16, FP16, batch 4-8", "humaneval", _lora(16, 8, base="plain"),
        {"QLoRA": NF4, "rank 8": {"rank": 8, "alpha": 16}, "batch 4": {"batch_size": 4}}, sixteen_bits=True,
    ),
    "medical": Recipe(
        "medical reports", "LoRA (8-bit Adam), rank 32, FP16, batch 2-4", "pubmedqa",
        _lora(32, 4, base="plain", optimizer="adamw_8bit"),
        {"AdamW in 32 bits": {"optimizer": "adamw_fused"}, "QLoRA": NF4, "rank 16": {"rank": 16, "alpha": 32}},
        sixteen_bits=True,
    ),
    "multimodal": Recipe(
        "image and text", "QLoRA + AdaLoRA, rank 12, NF4, batch 1-2", "shapes",
        {"method": "adalora", "rank": 12, "alpha": 24, "targets": "all-linear", "batch_size": 2, "base": "nf4"},
        {"fixed rank": {"method": "lora"}, "not quantised": {"base": "plain"}, "batch 1": {"batch_size": 1}},
    ),
})  # fmt: skip
