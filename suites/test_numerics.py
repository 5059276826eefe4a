"""Are the kernels right? Every operation on one layer, against plain float64 arithmetic on the same state.

What somebody upgrading a library needs first: a kernel that is wrong makes every other number of its runs worthless.
"""

from __future__ import annotations

from typing import Any

from bench.launch.work import Work
from bench.schema import RunConfig

OPERATIONS = ("quantize", "dequantize", "forward", "backward", "evaluation", "save_load", "merge")
FORMATS = ("nf4", "fp4", "int8")
DTYPES = ("float32", "bfloat16", "float16")
SHAPES = ((128, 256), (64, 160), (72, 256), (33, 70), (64, 129), (1, 256))
"""Outputs x inputs against blocks of 64: whole; rows that straddle blocks; outputs no multiple of 32; a short last
block; an odd width; one row."""
BLOCKS = ((32, 256), (128, 256), (512, 256), (4096, 256), (128, 576))
"""Block sizes with inputs; SmolLM2's width is 576, which blocks of 128 do not divide."""


def parameters(work: Work) -> dict[str, object]:
    """Return which operation meets which format, shape and dtype, and the settings that are tried apart."""
    if work.predicted:
        names = "kernel", "control", "blocks", "undoubled", "unpacked", "biased"
        return dict.fromkeys(names, "checks what kernels compute, and nothing is computed in a prediction")
    smoke = work.scale == "smoke"
    formats, dtypes, shapes = (FORMATS[::2], DTYPES[:1], SHAPES[:2]) if smoke else (FORMATS, DTYPES, SHAPES)
    four_bits, computed = formats[: 1 + work.thorough], ("dequantize", "forward")
    return {
        "kernel": [
            {"operation": operation, "format": held, "dtype": dtype, "rows": rows, "columns": columns}
            for operation in OPERATIONS for held in formats for dtype in dtypes for rows, columns in shapes
        ],
        "control": [{"operation": operation, "dtype": dtype} for operation in OPERATIONS[2:] for dtype in dtypes],
        "blocks": [
            {"operation": operation, "format": held, "blocksize": size, "columns": columns}
            for operation in (OPERATIONS if work.thorough else computed)
            for held in four_bits for size, columns in BLOCKS[-1:] + (() if smoke else BLOCKS[:-1])
        ],
        "undoubled": [{"operation": operation, "format": held} for operation in OPERATIONS for held in four_bits],
        "unpacked": [{"format": held, "dtype": dtype} for held in four_bits for dtype in dtypes],
        "biased": [
            {"operation": operation, "format": held}
            for operation in ("forward", "evaluation") for held in ("plain", *formats)
        ],
    }  # fmt: skip


def check(work: Work, **settings: Any) -> RunConfig:
    """Check one operation in float32, unless `settings` say otherwise."""
    return work.study("numerics", **{"dtype": "float32", **settings})


def test_kernel(measure, work, kernel):
    """Operations by format, dtype and shape, as the library comes."""
    measure(check(work, **kernel), rounds=work.seeds)


def test_control(measure, work, control):
    """The same operations without quantisation, by dtype: torch alone, and peft's merge."""
    measure(check(work, format="plain", **control), rounds=work.seeds)


def test_block_size(measure, work, blocks):
    """Other block sizes, one of which does not divide the width."""
    measure(check(work, **blocks), rounds=work.seeds)


def test_single_quantization(measure, work, undoubled):
    """Scales that are not quantised again."""
    measure(check(work, double_quant=False, **undoubled), rounds=work.seeds)


def test_without_repacking(measure, work, unpacked):
    """Train, evaluate, train with the repacking for CPU evaluation off, as every other run here has it."""
    measure(check(work, operation="evaluation", repacking=False, **unpacked), rounds=work.seeds)


def test_bias(measure, work, biased):
    """Layers that add a bias, as Qwen2's do."""
    measure(check(work, bias=True, **biased), rounds=work.seeds)
