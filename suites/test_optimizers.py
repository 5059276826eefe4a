"""What does an optimiser cost, and what does it give?

Full fine-tuning, whose state is as large as it gets, with what torch and bitsandbytes offer; Muon, which takes matrices
only, on LoRA's. Optimisers of bitsandbytes that page need a GPU (suites/test_paging.py makes them page). Claim C18.
"""

from __future__ import annotations

import pytest

from bench.launch.work import Work

OF_TORCH = ("adamw", "adamw_fused", "adafactor")
OF_BITSANDBYTES = (
    "adamw_32bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion_32bit", "lion_8bit", "ademamix_8bit",
)  # fmt: skip
OPTIMIZERS = (*OF_TORCH, *OF_BITSANDBYTES)
LEARNERS = tuple(name for name in OPTIMIZERS if not name.startswith("paged"))
"""Those that page learn what the others do."""
ON_MATRICES = ("adamw_fused", "adamw_8bit", "muon")


def rate(work: Work, method: str, optimizer: str) -> float:
    """Return a learning rate that suits an optimiser, from the rate that suits AdamW.

    Lion: a fifth, of the "3 to 10 times smaller" of arXiv 2302.06675, section 5. Adafactor's is relative to the
    weights: 1e-2 (arXiv 1804.04235, section 8). AdEMAMix and Muon, scaled to AdamW's steps, take AdamW's.
    """
    usual = work.learning_rate(method)
    if optimizer == "adafactor":
        return 1e-2
    return usual / 5 if optimizer.startswith("lion") else usual


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_cost(measure, work, optimizer):
    """Bytes of state, seconds a step, peak memory of full fine-tuning."""
    settings = {"optimizer": optimizer, "learning_rate": rate(work, "full", optimizer), "infer_tokens": 0}
    measure(work.speed("full", **settings), rounds=1)


@pytest.mark.parametrize("optimizer", ON_MATRICES)
def test_cost_on_matrices(measure, work, optimizer):
    """The same of LoRA, whose parameters are all matrices."""
    measure(work.speed("lora", optimizer=optimizer, infer_tokens=0, merge=False), rounds=1)


@pytest.mark.parametrize("optimizer", LEARNERS)
def test_learning(measure, work, optimizer):
    """Accuracy and loss after full fine-tuning."""
    settings = {"optimizer": optimizer, "learning_rate": rate(work, "full", optimizer)}
    measure(work.short("full", **settings), rounds=work.seeds)


@pytest.mark.parametrize("optimizer", ON_MATRICES)
def test_learning_on_matrices(measure, work, optimizer):
    """Accuracy and loss after LoRA."""
    measure(work.short("lora", optimizer=optimizer), rounds=work.seeds)
