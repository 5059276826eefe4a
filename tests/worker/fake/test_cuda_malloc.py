"""Segments of cudaMalloc: how large they are, and which go back when room is short."""

from __future__ import annotations

import pytest

from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.cuda_malloc import allocation_size
from bench.worker.fake.settings import AllocatorSettings

MIB = 2**20


@pytest.mark.parametrize(
    ("size", "segment"),
    [(512, 2), (MIB, 2), (MIB + 512, 20), (10 * MIB - 512, 20), (10 * MIB, 10), (10 * MIB + 512, 12), (33 * MIB, 34)],
)
def test_a_request_decides_its_segment(size, segment):
    """Up to 1 MiB: 2 MiB. Below 10 MiB: 20 MiB. From there: multiples of 2 MiB (get_allocation_size)."""
    assert allocation_size(size, 20 * MIB) == segment * MIB


def test_the_large_segment_can_be_larger():
    """With large_segment_size 32 MiB a request for 5 MiB reserves 32."""
    allocator = CachingAllocator(None, AllocatorSettings(large_segment_size=32 * MIB))
    allocator.malloc(1, 5 * MIB)
    assert allocator.reserved == 32 * MIB


def oversize(capacity: int | None = None) -> CachingAllocator:
    return CachingAllocator(capacity, AllocatorSettings(max_split_size=20 * MIB))


def test_an_oversize_block_is_not_for_smaller_requests():
    """40 MiB are free, but 10 MiB are less than the limit of 20: they get a segment of their own."""
    allocator = oversize()
    allocator.malloc(1, 40 * MIB)
    allocator.free(1)
    allocator.malloc(2, 10 * MIB)
    assert (allocator.reserved, allocator.allocated) == (50 * MIB, 10 * MIB)


@pytest.mark.parametrize(
    ("cached", "size", "reserved", "allocated"), [(40, 22, 40, 40), (38, 20, 38, 38), (40, 20, 60, 20)]
)
def test_an_oversize_block_is_used_whole_if_little_is_left_over(cached, size, reserved, allocated):
    """40 MiB serve 22 MiB, unsplit, as 40 < 22 + 20, and 38 serve 20; 40 do not serve 20, as 40 is 20 + 20."""
    allocator = oversize()
    allocator.malloc(1, cached * MIB)
    allocator.free(1)
    allocator.malloc(2, size * MIB)
    assert (allocator.reserved, allocator.allocated) == (reserved * MIB, allocated * MIB)


def test_oversize_blocks_go_back_before_everything_does():
    """20 + 40 + 14 MiB are cached of 120; 60 more do not fit, 40 and 20 go back: no retry, the 14 stay."""
    allocator = oversize(120 * MIB)
    for key, size in enumerate([20, 40, 14]):
        allocator.malloc(key, size * MIB)
    for key in range(3):
        allocator.free(key)
    allocator.malloc(3, 60 * MIB)
    assert (allocator.retries, allocator.frees, allocator.reserved) == (0, 2, 74 * MIB)


def test_one_oversize_block_is_enough_if_it_is_large_enough():
    """60 and 70 MiB are cached of 140; 36 more do not fit, and 60 >= 36 + 20 are too many to use: the 60 go back."""
    allocator = oversize(140 * MIB)
    for key, size in enumerate([60, 70]):
        allocator.malloc(key, size * MIB)
    for key in range(2):
        allocator.free(key)
    allocator.malloc(2, 36 * MIB)
    assert (allocator.retries, allocator.frees, allocator.reserved) == (0, 1, 106 * MIB)


def test_oversize_blocks_smaller_than_the_request_are_a_retry():
    """50 MiB are in use and 30 cached of 100: 40 fit once the 30 went back, but 30 < 40, so everything cached goes."""
    allocator = oversize(100 * MIB)
    allocator.malloc(1, 50 * MIB)
    allocator.malloc(2, 30 * MIB)
    allocator.free(2)
    allocator.malloc(3, 40 * MIB)
    assert (allocator.retries, allocator.frees, allocator.reserved) == (1, 1, 90 * MIB)


def collecting() -> CachingAllocator:
    """Of 200 MiB 100 are allowed, and from 40 on garbage is collected."""
    settings = AllocatorSettings(per_process_memory_fraction=0.5, garbage_collection_threshold=0.4)
    return CachingAllocator(200 * MIB, settings)


def test_garbage_of_average_age_is_collected_past_the_threshold():
    """30 and 20 MiB are 10 over 40 and equally old, so both go; with the new 44 that is all. No retry was needed."""
    allocator = collecting()
    allocator.malloc(1, 30 * MIB)
    allocator.malloc(2, 20 * MIB)
    allocator.free(1)
    allocator.free(2)
    allocator.malloc(3, 44 * MIB)
    assert (allocator.frees, allocator.retries, allocator.reserved) == (2, 0, 44 * MIB)


def test_garbage_that_was_used_since_is_spared():
    """40 MiB were used again one search later: ages 2 and 1, average 1.5. The other 10 MiB alone are the 10 over 40."""
    allocator = collecting()
    allocator.malloc(1, 10 * MIB)
    allocator.malloc(2, 40 * MIB)
    allocator.free(1)
    allocator.free(2)
    allocator.malloc(3, 40 * MIB)
    allocator.free(3)
    allocator.malloc(4, 44 * MIB)
    assert (allocator.frees, allocator.reserved) == (1, 84 * MIB)


def test_garbage_is_collected_again_until_enough_went():
    """10 (age 2) and 60 MiB (age 1) are 30 over 40: the older go first and are not enough, then the 60 go too."""
    allocator = collecting()
    allocator.malloc(1, 10 * MIB)
    allocator.malloc(2, 60 * MIB)
    allocator.free(1)
    allocator.free(2)
    allocator.malloc(3, 60 * MIB)
    allocator.free(3)
    allocator.malloc(4, 80 * MIB)
    assert (allocator.frees, allocator.retries, allocator.reserved) == (2, 0, 80 * MIB)


def test_no_garbage_is_collected_without_a_limit():
    """torch looks at the threshold only where a process is allowed less than the device has (malloc)."""
    allocator = CachingAllocator(100 * MIB, AllocatorSettings(garbage_collection_threshold=0.1))
    allocator.malloc(1, 30 * MIB)
    allocator.free(1)
    allocator.malloc(2, 40 * MIB)
    assert (allocator.frees, allocator.reserved) == (0, 70 * MIB)
