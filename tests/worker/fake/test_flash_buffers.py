"""FlashAttention keeps aside what its C++ interface allocates, worked out by hand."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from bench.worker.fake.flash_buffers import Shape, backward, split_forward
from bench.worker.fake.replace import replaced


@contextmanager
def on(multiprocessors):
    gpu = SimpleNamespace(multi_processor_count=multiprocessors)
    with replaced(torch.cuda, "get_device_properties", lambda: gpu):
        yield


def test_backward_keeps_sums_and_the_gradient_of_queries():
    """Lengths in 128s: 200 tokens are 256 rows of a sum and of 96 columns in float32."""
    assert backward(Shape(2, 8, 8, 200, 200, 80, 2), 96, deterministic=False) == [
        2 * 8 * 256 * 4,
        2 * 8 * 256 * 96 * 4,
    ]


def test_grouped_heads_have_gradients_of_their_own():
    """Keys and values for each of 8 query heads, in 16 bits, of as many tokens as there are keys."""
    *_, key, value = backward(Shape(2, 8, 2, 200, 300, 64, 2), 64, deterministic=False)
    assert key == value == 2 * 300 * 8 * 64 * 2


def test_the_deterministic_form_keeps_a_gradient_for_every_split():
    """132 multiprocessors for 2 x 8 heads are 9 splits."""
    with on(132):
        shape = Shape(2, 8, 8, 128, 128, 64, 2)
        assert backward(shape, 64, deterministic=True) == [
            2 * 8 * 128 * 4,
            9 * backward(shape, 64, deterministic=False)[1],
        ]


SPLITS = [
    ("enough blocks: 32 heads x 8 of 64 tokens are more than 0.8 x 264", Shape(1, 32, 32, 512, 512, 64, 2), 1),
    ("12 heads x 8 fill 96 of 264; there are 2 blocks of 256 keys", Shape(1, 12, 12, 512, 512, 64, 2), 2),
    ("2 splits fill 192 of 264, 4 would fill 384 of 528", Shape(1, 12, 12, 512, 512, 128, 2), 2),
    ("one block of keys cannot be split", Shape(1, 1, 1, 64, 200, 64, 2), 1),
]  # fmt: skip


@pytest.mark.parametrize(("why", "shape", "splits"), SPLITS)
def test_keys_are_split_where_the_gpu_would_be_idle(why, shape, splits):
    """A log-sum-exp and an output in float32 for each part, nothing for a single one."""
    with on(132):
        rows = splits * shape.batch * shape.heads * shape.length
        expected = [rows * 4, rows * shape.width * 4] if splits > 1 else []
        assert split_forward(shape, shape.width, 0.0) == expected, why


def test_one_query_token_over_grouped_heads_is_turned():
    """8 query heads over 2 of keys are 4 tokens over 2 heads: 2 blocks, and 16 blocks of keys in 16 parts."""
    with on(132):
        rows = 16 * 1 * 2 * 4
        assert split_forward(Shape(1, 8, 2, 1, 4096, 64, 2), 64, 0.0) == [rows * 4, rows * 64 * 4]


def test_dropout_is_not_split():
    """SplitKV has no dropout."""
    with on(132):
        assert split_forward(Shape(1, 12, 12, 512, 512, 64, 2), 64, 0.1) == []
