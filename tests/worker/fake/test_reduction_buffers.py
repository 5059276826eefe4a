"""Sums over rows take the buffer that torch asks for, worked out by hand from Reduce.cuh."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from bench.worker.fake.reduction_buffers import column_sum
from bench.worker.fake.replace import replaced

H100 = (9, 0, 132)
L40S = (8, 9, 142)


@contextmanager
def on(major, minor, multiprocessors):
    properties = SimpleNamespace(major=major, minor=minor, multi_processor_count=multiprocessors)
    with replaced(torch.cuda, "get_device_properties", lambda: properties):
        yield


def tensor(*shape, dtype=torch.bfloat16):
    return torch.empty(shape, dtype=dtype, device="meta")


def test_the_gradient_of_a_norms_weight_takes_more_than_what_is_summed():
    """2048 tokens of 4096 on an H100: 64 MiB for a sum of 16 MiB.

    Four values a load leave 128 threads a block, 32 across and 4 along. Each would sum 2048 / 4 = 512 values. The
    outputs fill 4096 / 4 / 32 = 32 blocks, the GPU holds 132 x 2048 / 128 = 2112, so inputs are divided over
    min(2112 / 32, 512 / 16) = 32. Torch asks for 4 bytes x 4096 outputs x 32 parts x 32 threads x 4 values.
    """
    with on(*H100):
        assert column_sum(tensor(2, 1024, 4096), [0, 1]) == [4 * 4096 * 32 * 32 * 4] == [64 * 2**20]


def test_a_card_that_holds_fewer_threads_divides_less():
    """142 multiprocessors of 1536 threads hold 142 x 12 = 1704 blocks: 54 for each of 32, with values enough."""
    with on(*L40S):
        assert column_sum(tensor(8192, 4096), 0) == [4 * 4096 * 54 * 32 * 4]


def test_parts_are_no_larger_than_256_values():
    """A million rows are divided over a million / 4 / 256 = 977 blocks, however many there are."""
    with on(*L40S):
        assert column_sum(tensor(1_000_000, 4096), 0) == [4 * 4096 * 977 * 32 * 4]


@pytest.mark.parametrize(
    ("what", "summed", "dims"),
    [
        ("rows lie next to each other", tensor(2048, 4096), 1),
        ("all is summed", tensor(2048, 4096), None),
        ("nothing is summed", tensor(1, 4096), 0),
        ("fewer than 256 values a thread", tensor(1020, 4096), 0),
        ("fewer than 64 values", tensor(60, 4096), 0),
        ("more outputs than the GPU holds", tensor(4096, 4096 * 128), 0),
        ("a number", tensor(), None),
    ],
)
def test_other_sums_take_next_to_nothing(what, summed, dims):
    """Each of these is done without a buffer, or with one of a few bytes a block."""
    with on(*H100):
        assert column_sum(summed, dims) == [], what


def test_odd_widths_are_loaded_one_by_one():
    """4095 is no multiple of 2, so blocks have 512 threads, 32 x 16.

    Of 2048 rows a thread sums 128, too few to divide. Of 4096 it sums 256; the outputs fill 128 blocks, the GPU holds
    132 x 4, which makes 5 parts.
    """
    with on(*H100):
        assert column_sum(tensor(2048, 4095), 0) == []
        assert column_sum(tensor(4096, 4095), 0) == [4 * 4095 * 5 * 32 * 1]


def test_few_outputs_leave_threads_to_the_inputs():
    """Of 16 outputs four threads load four each; 32 rows of threads are the rest of 128."""
    with on(*H100):
        found = column_sum(tensor(65536, 16, dtype=torch.float32), 0)

        values = 65536 // 32
        assert found == [4 * 16 * (values // 16) * 4 * 4]


def test_sums_of_eight_bytes_take_twice_as_much():
    """float64 and int64 are summed as what they are, anything else in 32 bits."""
    with on(*H100):
        narrow, wide = (column_sum(tensor(2048, 4096, dtype=dtype), 0) for dtype in (torch.float32, torch.float64))
        assert wide == [2 * narrow[0]]


def test_dimensions_are_counted_from_either_end():
    """-2 of a matrix is its first."""
    with on(*H100):
        assert column_sum(tensor(2048, 4096), -2) == column_sum(tensor(2048, 4096), [0])


def test_the_order_in_memory_counts_and_not_the_order_of_names():
    """A transposed matrix summed over its second dimension is summed over rows apart."""
    with on(*H100):
        assert column_sum(tensor(2048, 4096).mT, 1) == column_sum(tensor(2048, 4096), 0)
        assert column_sum(tensor(2048, 4096).mT, 0) == []


def test_heads_in_between_leave_the_outputs_apart():
    """[batch, heads, length, width] summed over batch and length: heads and width stay, the inner one is loaded."""
    with on(*H100):
        found = column_sum(tensor(8, 4, 2048, 64), [0, 2])

        across, along = 32, 4
        values = 8 * 2048 // along
        grid = 4 * 64 // 4 // across
        assert found == [4 * 256 * min(-(-2112 // grid), -(-values // 16)) * across * 4]
