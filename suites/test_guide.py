"""What the guide says about memory, for Llama 8B and 70B: claims C01, C02, C04, C12, C18, C27 and C31.

Predicted, for any GPU: --device fake:a100-80gb. One sequence of 2,048 tokens, activations checkpointed, as one
would to make a large model fit.
"""

from __future__ import annotations

import pytest

from bench.launch.work import Work

CHEAPEST = {"batch_size": 1, "sequence_length": 2048, "gradient_checkpointing": True}


def parameters(work: Work) -> dict[str, object]:
    """Return the guide's models, on simulated GPUs."""
    asked = "is about models of 8B and 70B; predict it with --device fake:<gpu>"
    return {"guide_model": ("llama-3.1-8b", "llama-3.3-70b") if work.predicted else asked}


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_32bit", "adamw_8bit", "paged_adamw_8bit"])
def test_full(measure, work, guide_model, optimizer):
    """Weights and gradients; AdamW's states in 16, 32 and 8 bits, and in 8 bits in managed memory."""
    measure(work.speed("full", model=guide_model, optimizer=optimizer, **CHEAPEST), rounds=1)


@pytest.mark.parametrize("method", ["lora", "lora_8bit", "qlora"])
def test_adapters(measure, work, guide_model, method):
    """LoRA on a base in 16, 8 and 4 bits, merged in the end."""
    measure(work.speed(method, model=guide_model, optimizer="adamw", **CHEAPEST), rounds=1)


def test_recipe(measure, work, guide_model):
    """QLoRA with the paged 8-bit AdamW, as in the guide's section 5."""
    measure(work.speed("qlora", model=guide_model, optimizer="paged_adamw_8bit", **CHEAPEST), rounds=1)
