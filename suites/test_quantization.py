"""What do few bits cost? A model's weights in every format: errors, bits a parameter counted, what the model says.

Every run also holds standard normal numbers in its format. Claims C08, C09 and C33.
"""

from __future__ import annotations

from typing import Any

from bench.launch.lessons import LESSONS
from bench.launch.work import Work
from bench.schema import RunConfig

ITEMS = {"smoke": 8, "small": 100, "full": 400}
"""Test items that the model reads before and after."""


def parameters(work: Work) -> dict[str, object]:
    """Return formats, block sizes, compute dtypes, and bits of HQQ with its block sizes."""
    if work.predicted:
        names = "format_of", "doubled", "block", "computing", "few"
        return dict.fromkeys(names, "compares what models compute, and nothing is computed in a prediction")
    smoke = work.scale == "smoke"
    sizes = (32, 128, 256, 512, 1024, 2048, 4096)
    bits = [(bits, size) for bits in (8, 4, 3, 2, 1) for size in ((64, 16) if work.thorough or bits == 2 else (64,))]
    return {
        "format_of": ("bfloat16", "int8", "nf4") if smoke else
                     ("float32", "bfloat16", "float16", "int8", "fp4", "nf4"),
        "doubled": ("nf4",) if smoke else ("nf4", "fp4"),
        "block": sizes[:2] if smoke else sizes,
        "computing": ("bfloat16",) if smoke else ("float32", "bfloat16", "float16"),
        "few": [{"bits": n, "blocksize": size} for n, size in ([(2, 64)] if smoke else bits)],
    }  # fmt: skip


def held(work: Work, **settings: Any) -> RunConfig:
    """Hold the model of the session in one format, and let it read the task's test items."""
    lesson = LESSONS[work.task]
    shapes = {"sequence_length": lesson.sequence_length, "batch_size": lesson.batch_size, "train_examples": 1}
    return work.study("quantization", **{**shapes, "test_items": ITEMS[work.scale], **settings})


def test_format(measure, work, format_of):
    """All formats with blocks of 64; 4-bit ones doubly quantised, computing in the dtype of the rest."""
    measure(held(work, format=format_of), rounds=work.seeds)


def test_single_quantization(measure, work, doubled):
    """4-bit formats whose scales are not quantised again: what double quantisation saves and costs."""
    measure(held(work, format=doubled, double_quant=False), rounds=work.seeds)


def test_block_size(measure, work, block):
    """NF4 by block size."""
    measure(held(work, format="nf4", blocksize=block), rounds=work.seeds)


def test_compute_dtype(measure, work, computing):
    """NF4 by the dtype it computes in: the weights are the same, what is computed with them is not."""
    measure(held(work, format="nf4", compute_dtype=computing), rounds=work.seeds)


def test_few_bits(measure, work, few):
    """HQQ by bits and block size, 2 bits for the guide's outlook; needs the extra `hqq`."""
    measure(held(work, format="hqq", **few), rounds=work.seeds)
