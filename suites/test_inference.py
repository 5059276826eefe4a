"""What does an adapter cost when text is generated, and does merging take that away?

Every run generates in turns with its base: time to first token, time per token, memory. The adapters are not trained,
since numbers cost the same whatever they are; they are moved so that they do something. Claims C07 and C25.
"""

from __future__ import annotations

from typing import Any

from bench.launch.work import Work
from bench.schema import RunConfig

TOKENS = {"smoke": 4, "small": 8, "full": 64}
REPEATS = {"smoke": 1, "small": 6, "full": 15}
RANKS = {"smoke": (8,), "small": (8, 128), "full": (1, 8, 32, 64, 128, 256)}
BATCHES = {"smoke": (4,), "small": (4, 16), "full": (2, 4, 8, 16, 32)}
PROMPTS = {"smoke": (16,), "small": (32, 512), "full": (32, 512, 1024)}


def parameters(work: Work) -> dict[str, object]:
    """Return states by base, ranks, layers, and how much is generated; each beside rank 16 on all linear layers."""
    if work.predicted:
        names = "alone", "state", "quantized", "rank", "targets", "dora_caching", "sequences", "prompt_tokens"
        return dict.fromkeys(names, "times what models compute, and nothing is computed in a prediction")
    quantized = [{"base": base, "state": state} for base in ("nf4", "int8") for state in ("base", "unmerged", "merged")]
    few = [{"base": "nf4", "state": "base"}, {"base": "nf4", "state": "unmerged"}]
    return {
        "alone": ("plain",),
        "state": ("unmerged", "merged"),
        "quantized": quantized if work.thorough else few,
        "rank": RANKS[work.scale],
        "targets": ("query-value", "attention", "mlp") if work.scale != "smoke" else ("query-value",),
        "dora_caching": (False, True),
        "sequences": BATCHES[work.scale],
        "prompt_tokens": PROMPTS[work.scale],
    }


def generation(work: Work, method: str = "lora", **settings: Any) -> RunConfig:
    """One sequence, a prompt of 128 tokens, in turns with the base."""
    made = {
        "batch_size": 1, "new_tokens": TOKENS[work.scale], "repeats": REPEATS[work.scale], "train_examples": 256,
        "prompt_tokens": 32 if work.scale == "smoke" else 128,
    }  # fmt: skip
    return work.study("inference", method, **{**made, **settings})


def test_base(measure, work, alone):
    """The base beside itself: what the turns cannot tell apart."""
    measure(generation(work, base=alone, state="base"), rounds=work.seeds)


def test_state(measure, work, state):
    """LoRA beside a base that is not quantised, and merged into it."""
    measure(generation(work, state=state), rounds=work.seeds)


def test_quantized(measure, work, quantized):
    """On a base in 4 or 8 bits: the base, the adapter beside it, and merged into it."""
    measure(generation(work, **quantized), rounds=work.seeds)


def test_rank(measure, work, rank):
    """By rank, unmerged."""
    measure(generation(work, rank=rank), rounds=work.seeds)


def test_targets(measure, work, targets):
    """On fewer layers than all linear ones, unmerged."""
    measure(generation(work, targets=targets), rounds=work.seeds)


def test_dora(measure, work, dora_caching):
    """DoRA unmerged, which computes its weights' norms for every token, or keeps them."""
    measure(generation(work, "dora", dora_caching=dora_caching), rounds=work.seeds)


def test_batch(measure, work, sequences):
    """By the number of sequences, unmerged; on a CPU with short prompts, since they take most of the time."""
    short = {} if work.thorough else {"prompt_tokens": 32}
    measure(generation(work, batch_size=sequences, **short), rounds=work.seeds)


def test_prompt(measure, work, prompt_tokens):
    """By the length of the prompt, unmerged."""
    measure(generation(work, prompt_tokens=prompt_tokens), rounds=work.seeds)
