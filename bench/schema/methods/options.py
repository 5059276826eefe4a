"""Settings that several methods share, under one name and with one meaning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Option

LORA_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "rank": Option(16, "Rank r of the update; the guide's section 5 uses 16.", minimum=1),
    "alpha": Option(32, "Scale: the update is multiplied by alpha / rank.", minimum=1),
    "dropout": Option(0.05, "Dropout on the adapter's input while training.", minimum=0.0),
    "targets": Option("all-linear", "Adapted layers: 'all-linear' (every linear layer but the output head), "
                                    "'query-value', 'attention', 'mlp' or 'all-linear+embeddings' (found by the "
                                    "model's structure), 'default' (peft's choice for the model), or module names "
                                    "separated by commas: 'q_proj,v_proj'."),
    "as_many_as": Option("", "Targets at which `rank` counts: on the adapted layers the rank is chosen so that the "
                             "adapter has as many parameters as there; alpha over rank stays. Empty: `rank` itself."),
    "bias": Option("none", "Which biases train.", choices=("none", "all", "lora_only")),
    "autocast_adapter_dtype": Option(True, "Keep adapters in float32 when the base is in 16 bits (peft's default)."),
})  # fmt: skip

TARGETS = Option("default", LORA_OPTIONS["targets"].about)
AUTOCAST = LORA_OPTIONS["autocast_adapter_dtype"]
PREPARE_KBIT = Option(True, "Call peft's prepare_model_for_kbit_training, which keeps what is "
                            "not quantised in float32.")  # fmt: skip

QUANTIZATION_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "quant_type": Option("nf4", "4-bit data type of the base.", choices=("nf4", "fp4")),
    "double_quant": Option(True, "Quantise the scaling factors too."),
    "compute_dtype": Option("model", "What 4-bit weights are expanded to; 'model' is the config's dtype.",
                            choices=("model", "float32", "bfloat16", "float16")),
    "quant_storage": Option("uint8", "Type of the tensor that carries the 4-bit payload.",
                            choices=("uint8", "float32", "bfloat16", "float16")),
    "prepare_kbit": PREPARE_KBIT,
})  # fmt: skip

DROPOUT = Option(0.0, "Dropout on the adapter's input while training.", minimum=0.0)
MODULE_DROPOUT = Option(0.0, "Probability that a layer's adapter, or a block of it, is left out while training.",
                        minimum=0.0)  # fmt: skip
SAVE_PROJECTION = Option(True, "Save the frozen matrices with the adapter instead of making them again from the seed.")
CAYLEY_TERMS = Option(5, "Terms of the Cayley-Neumann series, where it is used.", minimum=1)
HIDDEN_SIZE = Option(0, "Width of the encoder; 0 is the model's hidden size.", minimum=0)


def rank(default: int, about: str = "Rank r of the update.", minimum: int = 1) -> Option:
    """Describe the option `rank` of a method."""
    return Option(default, about, minimum=minimum)


def alpha(default: int) -> Option:
    """Describe the option `alpha` of a method whose update is multiplied by alpha / rank."""
    return Option(default, "Scale: the update is multiplied by alpha / rank.", minimum=1)


def scaling(default: float) -> Option:
    """Describe the option `scaling` of a method."""
    return Option(default, "The update is multiplied by this.")


def seed(default: int) -> Option:
    """Describe the option `projection_seed` of a method with something random in it that is not trained."""
    return Option(default, "Seed of what is random and frozen.")


def like_lora(**own: Option) -> Mapping[str, Option]:
    """Return LoRA's options with LoRA's defaults, and a method's own."""
    return MappingProxyType({**LORA_OPTIONS, **own})


def on_layers(**own: Option) -> Mapping[str, Option]:
    """Return a method's own options and those of every method that adapts layers: by default peft's choice of them."""
    return MappingProxyType({**own, "targets": TARGETS, "autocast_adapter_dtype": AUTOCAST})


def of_prompts(**own: Option) -> Mapping[str, Option]:
    """Return a method's own options and the length of its prompt."""
    tokens = Option(20, "Trained tokens before every sequence; peft has no default, its documentation uses 20.",
                    minimum=1)  # fmt: skip
    return MappingProxyType({"num_virtual_tokens": tokens, **own})
