"""Memory-efficient attention keeps aside what the kernel does that a GPU takes, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from bench.schema import gpus
from bench.worker.fake.efficient_buffers import SHARED_MEMORY, backward, forward
from bench.worker.fake.replace import replaced

HALF = (torch.float16, torch.bfloat16)
AMPERE, SMALL, HOPPER, TURING = (8, 0), (8, 9), (9, 0), (7, 5)


def inputs(batch=1, heads=1, length=64, width=64, dtype=torch.bfloat16, keys=None, value_width=None):
    query = torch.empty(batch, heads, length, width, dtype=dtype, device="meta")
    key = torch.empty(batch, heads, keys or length, width, dtype=dtype, device="meta")
    return query, key, torch.empty(batch, heads, keys or length, value_width or width, dtype=dtype, device="meta")


def kept(capability, *tensors, dropout=0.0):
    with replaced(torch.cuda, "get_device_capability", lambda: capability):
        return backward(*tensors, dropout)


@pytest.mark.parametrize("dtype", HALF)
def test_heads_up_to_64_keep_the_gradient_of_queries(dtype):
    """Blocks of 64 x 64 float32 and 16 bytes: for 100 tokens two, for each of 2 x 3 heads."""
    assert kept(AMPERE, *inputs(2, 3, 100, dtype=dtype)) == [2 * 3 * 100 * 4, 2 * 3 * 2 * (64 * 64 * 4 + 16)]


@pytest.mark.parametrize("capability", [AMPERE, HOPPER])
def test_heads_of_128_take_the_large_kernel_where_shared_memory_is_large(capability):
    """Blocks of 128 x 128; gradients of keys and values stay in registers."""
    delta, workspace = kept(capability, *inputs(4, 24, 696, 128))

    assert delta == 4 * 24 * 696 * 4
    assert workspace == 4 * 24 * 6 * (128 * 128 * 4 + 16) == 37_757_952


def test_heads_of_128_keep_gradients_of_keys_and_values_on_small_cards():
    """133,632 bytes of shared memory are more than 99 KiB, so blocks are 64 x 64 and hold no 128 columns.

    696 queries and 128 columns are 11 x 2 blocks. Keys are split in 200 // 96 = 2 parts of 64 rows and 2 x 128 columns.
    """
    workspace = kept(SMALL, *inputs(4, 24, 696, 128))[1]

    assert workspace == 96 * (22 * (64 * 64 * 4 + 16) + 2 * 64 * 256 * 4) == 47_219_712


def test_keys_are_split_no_finer_than_blocks_and_at_least_once():
    """Of few heads as many parts as blocks, of many heads one."""
    queries = 2 * 2 * (64 * 64 * 4 + 16)
    assert kept(SMALL, *inputs(1, 1, 128, 128, keys=300))[1] == queries + 5 * 64 * 256 * 4
    assert kept(SMALL, *inputs(8, 32, 128, 128))[1] == 256 * (queries + 1 * 64 * 256 * 4)
    assert kept(SMALL, *inputs(1, 150, 128, 128))[1] == 150 * (queries + 1 * 64 * 256 * 4)


def test_small_ampere_cards_have_a_kernel_of_their_own_up_to_96():
    """128 x 64 on capabilities 8.6 and 8.9; 128 x 128 where there is room for it; with dropout neither card has it."""
    of_96 = inputs(1, 1, 128, 96)
    aside = 1 * 64 * 256 * 4

    assert kept(SMALL, *of_96)[1] == 1 * 2 * (128 * 64 * 4 + 16)
    assert kept(AMPERE, *of_96)[1] == 128 * 128 * 4 + 16
    assert kept(SMALL, *of_96, dropout=0.1)[1] == 2 * 2 * (64 * 64 * 4 + 16) + 2 * aside


def test_wide_heads_keep_gradients_of_keys_and_values():
    """Beyond 128 no kernel holds them in registers: 128 x 64, columns rounded up to 128."""
    workspace = kept(AMPERE, *inputs(1, 1, 128, 160))[1]

    assert workspace == 1 * 3 * (128 * 64 * 4 + 16) + 2 * 64 * (256 + 256) * 4


def test_value_width_counts_by_itself():
    """The wider of the two finds the kernel; each has its own columns."""
    assert kept(AMPERE, *inputs(1, 1, 128, 64, value_width=160))[1] == 128 * 64 * 4 + 16 + 2 * 64 * (128 + 256) * 4


@pytest.mark.parametrize(
    ("capability", "width", "block"),
    [(AMPERE, 64, 64 * 64), (AMPERE, 128, 128 * 64), (SMALL, 128, 64 * 64), (TURING, 128, 64 * 64)],
)
def test_float32_keeps_the_gradient_of_queries_alone(capability, width, block):
    """Keys and values are added up in the result itself; the query's gradient is needed for keys are split."""
    rows = block // 64
    blocks = -(-256 // rows) * -(-width // 64)
    assert kept(capability, *inputs(1, 1, 256, width, torch.float32))[1] == blocks * (block * 4 + 16)


def test_older_cards_take_blocks_of_128_by_64_up_to_128():
    """Turing and Volta: in registers, as the block of queries is as high as heads are wide."""
    for capability in (TURING, (7, 0)):
        assert kept(capability, *inputs(1, 1, 256, 128, torch.float16))[1] == 2 * 2 * (128 * 64 * 4 + 16)


@pytest.mark.parametrize("dtype", HALF)
def test_forward_keeps_the_output_in_float32_where_heads_are_wide(dtype):
    """Up to 128 columns stay in registers."""
    query, _, value = inputs(2, 3, 100, 256, dtype=dtype)

    assert forward(query, value) == [2 * 3 * 100 * 256 * 4]
    assert forward(*inputs(2, 3, 100, 128, dtype=dtype)[::2]) == []
    assert forward(*inputs(2, 3, 100, 256, dtype=torch.float32)[::2]) == []


def test_every_gpu_of_the_catalogue_has_its_shared_memory():
    """A GPU without it could not be simulated with a mask."""
    assert {sku.capability for sku in gpus.SKUS} <= set(SHARED_MEMORY)
