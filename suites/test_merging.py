"""What does merging an adapter into its base keep of what was learned, and what does it cost?

Every run trains, merges in one way, and compares three models on the same test items: the base, the model with the
adapter beside it, and the merged one. Claims C25 to C27.
"""

from __future__ import annotations

from bench.launch.work import LESSONS, Work

ITEMS = 100
"""Test items scored by each of the three models, fewer than in a lesson: there are many runs."""


def parameters(work: Work) -> dict[str, object]:
    """Return bases and ways, ranks with alphas, and how much is learned; fewer where runs are slow."""
    if work.predicted:
        none = "compares numbers, and nothing is computed in a prediction"
        names = ("plain_dtype", "quantized", "way", "adapter", "learned", "dora_base", "drifting")
        return dict.fromkeys(names, none)
    quick, whole = work.scale == "smoke", LESSONS[work.task].steps[work.scale]
    few = (2, 1e-3), (whole, 1e-2)
    many = tuple((steps, rate) for steps in (max(2, whole // 8), whole // 2, whole) for rate in (2e-4, 1e-3, 5e-3))
    some = (max(2, whole // 8), 1e-3), (whole // 4, 5e-3), (whole, 1e-3)
    return {
        "plain_dtype": ("float32", "bfloat16", "float16"),
        "quantized": ("nf4", "fp4", "int8"),
        "way": ("dequantized", "requantized", "original", "original_requantized"),
        "other_base": ("fp4", "int8") if work.thorough else ("int8",),
        "adapter": (*((4, 8), (64, 128), (16, 128)), *(((16, 16), (1, 2), (128, 256)) if work.thorough else ())),
        "learned": few if quick else many if work.thorough else some,
        "dora_base": ("plain", "nf4"),
        "drifting": ("plain", "nf4", "int8") if work.thorough else ("plain", "nf4"),
    }
