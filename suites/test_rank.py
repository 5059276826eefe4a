"""What does a higher rank cost, and what does it give?

Three rules for alpha, as they are used: twice the rank (the guide's section 5 has 32 for 16), so that the scale of the
update stays; the same alpha for all ranks, so that it shrinks as 1 / r; and rsLoRA, which divides by the rank's square
root instead. Claims C03, C19 and C35.
"""

from __future__ import annotations

from bench.launch.work import Work

ALPHA = 32
"""Alpha that stays where the rank changes: the guide's."""


def parameters(work: Work) -> dict[str, object]:
    """Return the ranks, fewer where another rule than the first is tried on a CPU."""
    ranks = (1, 16, 128) if work.scale == "smoke" else (1, 2, 4, 8, 16, 32, 64, 128)
    few = (4, 64) if work.scale == "smoke" else ranks if work.thorough else (4, 64, 128)
    return {"rank": ranks, "other_rank": few}


def test_cost(measure, work, rank):
    """Parameters, speed and memory by rank."""
    measure(work.speed("lora", rank=rank, alpha=2 * rank, infer_tokens=0, merge=False), rounds=1)


def test_learning(measure, work, rank):
    """Accuracy by rank, alpha twice the rank."""
    measure(work.short("lora", rank=rank, alpha=2 * rank), rounds=work.seeds)


def test_same_alpha(measure, work, other_rank):
    """Accuracy by rank, alpha the same for all."""
    measure(work.short("lora", rank=other_rank, alpha=ALPHA), rounds=work.seeds)


def test_rank_stabilised(measure, work, other_rank):
    """Accuracy by rank with rsLoRA, alpha the same for all."""
    measure(work.short("rslora", rank=other_rank, alpha=ALPHA), rounds=work.seeds)
