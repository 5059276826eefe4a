"""What do many adapters in one model cost, and what does changing them cost?

Every run puts adapters into one model, saves, loads, sets, hot-swaps, deletes and combines them, gives every row of a
batch its own, and looks whether the base is bit for bit what it was. Claims C06, C29 and C34.
"""

from __future__ import annotations

from typing import Any

from bench.launch.work import Work
from bench.schema import RunConfig

COUNTS = {"smoke": (1, 3), "small": (1, 2, 4, 8), "full": (1, 2, 4, 8, 16, 32)}
BATCH = {"smoke": 3, "small": 8, "full": 32}
"""Rows of the batch, as many as the most adapters there are, so that all take part."""
REPEATS = {"smoke": 1, "small": 6, "full": 15}
OTHERS = ("rslora", "loraplus", "pissa", "adalora", "ia3", "loha", "lokr", "vera", "oft", "boft", "miss", "randlora")


def parameters(work: Work) -> dict[str, object]:
    """Return how many adapters there are, how the base is held, and adapters of other kinds than LoRA's."""
    if work.predicted:
        names = "count", "quantized", "kind", "way"
        return dict.fromkeys(names, "times operations, and nothing is computed in a prediction")
    most = max(COUNTS[work.scale])
    quantized = [{"base": base, "count": n} for base in ("nf4", "int8") for n in (2, most)]
    return {
        "count": COUNTS[work.scale],
        "quantized": quantized if work.thorough else quantized[1:2],
        "kind": ("dora", "ia3") if not work.thorough else ("dora", *OTHERS),
        "way": ("svd",) if work.scale != "smoke" else ("linear,svd",),
    }


def crowd(work: Work, method: str = "lora", **settings: Any) -> RunConfig:
    """A batch in which every adapter has a row."""
    made = {
        "batch_size": max(BATCH[work.scale], int(settings.get("count", 1))), "prompt_tokens": 32,
        "repeats": REPEATS[work.scale], "timings": 3 if work.scale == "smoke" else 5, "train_examples": 256,
    }  # fmt: skip
    return work.study("adapters", method, **{**made, **settings})


def test_count(measure, work, count):
    """By the number of adapters, all LoRA of one rank."""
    measure(crowd(work, count=count), rounds=work.seeds)


def test_quantized(measure, work, quantized):
    """On a base in 4 or 8 bits."""
    measure(crowd(work, **quantized), rounds=work.seeds)


def test_kind(measure, work, kind):
    """Two adapters of another kind, of which peft does not do everything."""
    measure(crowd(work, kind, count=2), rounds=work.seeds)


def test_combination(measure, work, way):
    """Two adapters on query and value combined by an SVD, which takes long."""
    measure(crowd(work, count=2, combinations=way, targets="query-value"), rounds=work.seeds)
