"""What does merging an adapter into its base keep of what was learned, and what does it cost?

Every run trains, merges in one way, and compares three models on the same test items: the base, the model with the
adapter beside it, and the merged one. Claims C25 to C27.
"""

from __future__ import annotations

from typing import Any

from bench.launch.lessons import LESSONS
from bench.launch.work import Work
from bench.schema import RunConfig

ITEMS = {"smoke": 8, "small": 100, "full": 400}
"""Test items that each of the three models answers; fewer than in a lesson, since there are many runs."""

WAYS = ("dequantized", "requantized", "original", "original_requantized")


def parameters(work: Work) -> dict[str, object]:
    """Return how bases are held and merged into, ranks with their alphas, and how long and fast is trained."""
    if work.predicted:
        names = "dtype", "quantized", "by_way_of", "adapter", "training", "dora_base", "drifting"
        return dict.fromkeys(names, "compares what models compute, and nothing is computed in a prediction")
    short, whole = lesson(work).steps, LESSONS[work.task].steps[work.scale]
    few = (short, 1e-2), (whole, 1e-3)
    grid = tuple((steps, rate) for steps in (short // 4, short, whole) for rate in (2e-4, 1e-3, 5e-3))
    ranks = (4, 8), (64, 128), (16, 128), (1, 2), (128, 256), (16, 16)
    ways = [(base, way) for base in ("nf4", "int8", "fp4") for way in WAYS]
    ways = ways if work.thorough else ways[: len(WAYS) + 1]
    ranks = ranks if work.thorough else ranks[:3]
    return {
        "dtype": ("float32", "bfloat16", "float16"),
        "quantized": ("nf4", "fp4", "int8"),
        "by_way_of": [{"base": base, "way": way} for base, way in ways],
        "adapter": [{"rank": rank, "alpha": alpha} for rank, alpha in ranks],
        "training": [{"steps": n, "learning_rate": rate} for n, rate in (grid if work.thorough else few)],
        "dora_base": ("nf4", "plain") if work.thorough or work.scale == "smoke" else ("nf4",),
        "drifting": ("plain", "nf4", "int8") if work.thorough else ("plain", "nf4"),
    }


def lesson(work: Work, method: str = "lora", **settings: Any) -> RunConfig:
    """Train a quarter of a lesson (half at full scale), then merge."""
    half = work.short(method).steps
    made = {"steps": half if work.scale == "full" else max(2, half // 2), "evaluate_items": ITEMS[work.scale]}
    return work.short(method, study="merging", **{**made, **settings})


def test_plain(measure, work, dtype):
    """Into a base that is not quantised, in each dtype."""
    measure(lesson(work, dtype=dtype, way="in_place"), rounds=work.seeds)


def test_quantized(measure, work, quantized):
    """Into a base in 4 or 8 bits as peft does it, which quantises the sum again."""
    measure(lesson(work, base=quantized, way="in_place"), rounds=work.seeds)


def test_ways(measure, work, by_way_of):
    """By way of weights that are not quantised: the expanded ones, or the original ones; quantised again, or not."""
    measure(lesson(work, **by_way_of), rounds=work.seeds)


def test_adapter(measure, work, adapter):
    """By rank and alpha, into NF4 in place."""
    measure(lesson(work, base="nf4", way="in_place", **adapter), rounds=work.seeds)


def test_learned(measure, work, training):
    """By how much was learned, into NF4 in place: a merge into 4 bits can round a small update away."""
    measure(lesson(work, base="nf4", way="in_place", **training), rounds=work.seeds)


def test_dora(measure, work, dora_base):
    """DoRA, whose merge rescales whole weights."""
    measure(lesson(work, "dora", base=dora_base, way="in_place"), rounds=work.seeds)


def test_drift(measure, work, drifting):
    """Merged and taken out again, round after round: how far the base has moved."""
    rounds = 10 if work.thorough else 5
    measure(lesson(work, base=drifting, way="repeated", merge_rounds=rounds), rounds=work.seeds)
