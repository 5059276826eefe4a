"""EVA (Paischer et al., arXiv 2410.07170): LoRA that starts from directions its layers' inputs have in the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any

from peft import EvaConfig, initialize_lora_eva_weights
from peft.tuners.tuners_utils import cast_adapter_dtype

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker.batches import Batch, batches
from bench.worker.encoding import IGNORED, Tokens
from bench.worker.methods.lora import variant

NAMES: Mapping[str, None] = MappingProxyType(
    dict.fromkeys(("rho", "tau", "use_label_mask", "whiten", "adjust_scaling_factors"))
)
MOST_PASSES = 500
"""After so many batches without convergence the start is given up; peft itself would go on for ever."""


def settings(_: Any, config: RunConfig) -> Mapping[str, Any]:
    """Gather the method's options in peft's config of EVA."""
    return {"eva_config": EvaConfig(**{name: config.options[name] for name in NAMES})}


def seen(batch: Batch, config: RunConfig) -> int:
    """Count the tokens of a batch that peft looks at: those with a label, or all that are no padding."""
    return int((batch.labels != IGNORED).sum()) if config.options["use_label_mask"] else batch.real


def enough(sequences: Sequence[Tokens], config: RunConfig, components: int) -> list[Batch]:
    """Return the run's first batches, made larger by doubling until the first shows as many tokens as components.

    Fewer cannot be decomposed: peft leaves such a batch out. Raises `UnsupportedError` where no size is enough.
    """
    size = config.batch_size
    while True:
        made = list(islice(batches(sequences, config.but(batch_size=size), pad_id=0), MOST_PASSES))
        if seen(made[0], config) >= components:
            return made
        if size >= len(sequences):
            raise UnsupportedError(f"eva needs {components} tokens at once to start from; all {len(sequences)} "
                                   f"examples show {seen(made[0], config)}.")  # fmt: skip
        size *= 2


def begin(model: Any, sequences: Sequence[Tokens], config: RunConfig) -> None:
    """Decompose what the layers see of the training data, and give ranks to where it explains most.

    Raises `UnsupportedError` for what peft refuses, and where directions do not settle.
    """
    adapter = model.peft_config["default"]
    passes = 0

    def forward(seeing: Any, inputs: Mapping[str, Any]) -> None:
        nonlocal passes
        passes += 1
        if passes > MOST_PASSES:
            raise UnsupportedError(f"eva has no start: directions still turn after {MOST_PASSES} batches.")
        seeing(**{name: value for name, value in inputs.items() if name != "labels"})

    feed = [batch.on("cpu") for batch in enough(sequences, config, round(adapter.r * adapter.eva_config.rho))]
    try:
        initialize_lora_eva_weights(model, feed, forward_fn=forward, show_progress_bar=False)
    except (ValueError, TypeError, NotImplementedError) as refusal:
        raise UnsupportedError(f"peft refuses this start of eva: {refusal}") from refusal
    cast_adapter_dtype(model, "default", bool(config.options["autocast_adapter_dtype"]))


METHOD = variant(NAMES, settings, init_lora_weights="eva").method(begin=begin)
