"""Which attention kernel a GPU takes, call by call: one thing differs from a call whose kernel is known."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from bench.worker.fake.backends import Asked, backend, strictly_deterministic

VOLTA, TURING, AMPERE, A10, ADA, HOPPER = (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)
BLACKWELL, ULTRA, CONSUMER, SPARK, UNKNOWN = (10, 0), (10, 3), (12, 0), (12, 1), (13, 0)
HALF, BF16, FLOAT, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64

LENGTH = 64


def call(
    dtype=BF16, heads=8, key_heads=8, width=64, value_width=None, *, length=LENGTH, key_length=LENGTH, mask=None,
    dropout=0.0, causal=False, grouped=False, gradient=True, offset=0, spread=False, batch=2,
):  # fmt: skip
    """Ask for attention of two sequences of 64 tokens, 8 heads, 64 wide, in bfloat16, to train."""

    def tensor(heads, length, width):
        size = batch * heads * length * width
        made = torch.empty(2 * size + offset, dtype=dtype, device="meta")[offset:]
        made = made[::2] if spread else made
        return made[:size].view(batch, heads, length, width).requires_grad_(gradient)

    value_width = value_width or width
    shapes = (heads, length, width), (key_heads, key_length, width), (key_heads, key_length, value_width)
    query, key, value = (tensor(*shape) for shape in shapes)
    if mask is not None:
        mask = torch.empty(mask, dtype=torch.bool, device="meta")
    return Asked(query, key, value, mask, dropout, causal, grouped)


FULL = (2, 1, LENGTH, LENGTH)
PADDED = {"mask": FULL}
GQA = {"key_heads": 2, "grouped": True}

CASES = [
    # the flash kernel of Ampere and later
    (AMPERE, {}, "flash"),
    (AMPERE, {"dtype": HALF}, "flash"),
    (ADA, {"causal": True}, "flash"),
    (CONSUMER, {}, "flash"),
    (SPARK, {}, "flash"),
    (AMPERE, {"width": 256}, "flash"),
    (AMPERE, {"width": 60}, "flash"),
    (AMPERE, GQA, "flash"),
    (AMPERE, {"key_heads": 1, "grouped": True}, "flash"),
    (AMPERE, {"key_length": 128}, "flash"),
    (AMPERE, {"dropout": 0.1}, "flash"),
    # what it refuses goes to the efficient kernel, which takes masks and float32
    (AMPERE, PADDED, "efficient"),
    (AMPERE, {"dtype": FLOAT}, "efficient"),
    (AMPERE, {"width": 264}, "efficient"),
    (AMPERE, {"value_width": 128}, "efficient"),
    (AMPERE, {"causal": True, "key_length": 128}, "efficient"),
    (TURING, {"dtype": HALF}, "efficient"),
    (VOLTA, {"dtype": FLOAT}, "efficient"),
    # without tensor cores any width will do; with them multiples of 16 bytes, 8 halves or 4 floats
    (VOLTA, {"dtype": FLOAT, "width": 63}, "efficient"),
    (TURING, {"dtype": HALF, "width": 60}, "math"),
    (AMPERE, {**PADDED, "width": 60}, "math"),
    (AMPERE, {"dtype": FLOAT, "width": 60}, "efficient"),
    (AMPERE, {"dtype": FLOAT, "width": 62}, "math"),
    (AMPERE, {**PADDED, "value_width": 60}, "math"),
    # since Ampere they also have to start at one
    (AMPERE, {**PADDED, "offset": 8}, "efficient"),
    (AMPERE, {**PADDED, "offset": 4}, "math"),
    (TURING, {"dtype": HALF, "offset": 4}, "efficient"),
    # plain computation is left for the rest
    (TURING, {}, "math"),
    (AMPERE, {"dtype": DOUBLE}, "math"),
    (AMPERE, {**PADDED, **GQA}, "math"),
    (AMPERE, {**GQA, "dtype": FLOAT}, "math"),
    (AMPERE, {"key_heads": 3, "grouped": True}, "math"),
    (AMPERE, {"key_heads": 2}, "math"),
    (AMPERE, {"spread": True}, "math"),
    (AMPERE, {"key_length": 0}, "math"),
    (UNKNOWN, {}, "math"),
    # cards with little shared memory train heads up to 192 wide, and above 224 without dropout
    (A10, {"width": 192}, "flash"),
    (A10, {"width": 200}, "efficient"),
    (A10, {"width": 200, "gradient": False}, "flash"),
    (ADA, {"width": 224}, "efficient"),
    (ADA, {"width": 232}, "flash"),
    (ADA, {"width": 256, "dropout": 0.1}, "efficient"),
    (CONSUMER, {"width": 200}, "efficient"),
    (AMPERE, {"width": 200}, "flash"),
    # cuDNN is asked first where it is fastest, on Hopper and Blackwell of data centres; it takes masks and groups
    (HOPPER, {}, "cudnn"),
    (BLACKWELL, {}, "cudnn"),
    (ULTRA, {}, "cudnn"),
    (HOPPER, {**PADDED, **GQA}, "cudnn"),
    (HOPPER, {"mask": (LENGTH, LENGTH)}, "cudnn"),
    (HOPPER, {"causal": True, "key_length": 128}, "cudnn"),
    (HOPPER, {"width": 256}, "cudnn"),
    (HOPPER, {"dropout": 0.125}, "cudnn"),
    (HOPPER, {"dropout": 0.1}, "flash"),
    (HOPPER, {"dtype": FLOAT}, "efficient"),
    (HOPPER, {"width": 60}, "flash"),
    (HOPPER, {"width": 264}, "efficient"),
    (HOPPER, {"key_length": 1}, "flash"),
    (HOPPER, {"length": 1}, "cudnn"),
    (HOPPER, {"length": 1, "dropout": 0.125}, "flash"),
    (HOPPER, {"mask": (1, LENGTH, LENGTH)}, "efficient"),
    (HOPPER, {"mask": (3, 1, LENGTH, LENGTH)}, "efficient"),
    (HOPPER, {"batch": 65536, "heads": 1, "key_heads": 1, "length": 2, "key_length": 2}, "flash"),
    (BLACKWELL, {"width": 136}, "flash"),
    (BLACKWELL, {"width": 192, "value_width": 128}, "cudnn"),
    (BLACKWELL, {"width": 192}, "flash"),
]  # fmt: skip


@pytest.mark.parametrize(("capability", "asked", "expected"), CASES)
def test_the_kernel_is_the_one_torch_takes(capability, asked, expected):
    """By the GPU's capability and what is asked of it."""
    assert backend(call(**asked), capability) == expected


def test_a_mask_that_is_learnt_is_not_cudnns():
    """It has no gradient of one."""
    asked = call(mask=FULL)
    learnt = torch.empty(FULL, dtype=BF16, device="meta", requires_grad=True)

    assert backend(asked._replace(mask=learnt), HOPPER) == "efficient"


def test_types_that_differ_are_computed_plainly():
    """No fused kernel takes them."""
    asked = call()

    assert backend(asked._replace(value=asked.value.to(HALF)), HOPPER) == "math"


def test_without_gradients_wide_heads_of_small_cards_are_flashs():
    """Within no_grad nothing is trained, whatever the inputs are made for."""
    with torch.no_grad():
        assert backend(call(width=200), A10) == "flash"


@contextmanager
def deterministic(*, warn_only):
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("warn_only", "expected"), [(False, "flash"), (True, "cudnn")])
def test_cudnn_is_not_deterministic(warn_only, expected):
    """It is passed over where that is forbidden, not where it is warned of."""
    with deterministic(warn_only=warn_only):
        assert strictly_deterministic() is not warn_only
        assert backend(call(), HOPPER) == expected


@pytest.mark.parametrize(("disabled", "expected"), [
    ("enable_cudnn_sdp", "flash"), ("enable_flash_sdp", "efficient"), ("enable_mem_efficient_sdp", "math"),
])  # fmt: skip
def test_a_kernel_that_is_switched_off_is_passed_over(disabled, expected):
    """By torch.backends.cuda, one after the other."""
    switches = ["enable_cudnn_sdp", "enable_flash_sdp", "enable_mem_efficient_sdp"]
    off = switches[: switches.index(disabled) + 1]
    try:
        for switch in off:
            getattr(torch.backends.cuda, switch)(False)
        assert backend(call(), HOPPER) == expected
    finally:
        for switch in off:
            getattr(torch.backends.cuda, switch)(True)
