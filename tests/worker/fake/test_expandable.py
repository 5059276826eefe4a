"""Expandable segments: grown by granules at the end, emptied by whole granules anywhere."""

from __future__ import annotations

import pytest

from bench.worker.fake.allocator import CachingAllocator, NoRoom
from bench.worker.fake.settings import AllocatorSettings

MIB = 2**20


def expandable(capacity: int | None = None) -> CachingAllocator:
    return CachingAllocator(capacity, AllocatorSettings(expandable_segments=True))


def test_a_segment_grows_by_what_its_free_end_lacks():
    """5 MiB map a granule of 20; 18 start in the 15 that are free and lack 3, so one more granule is mapped."""
    allocator = expandable()
    first = allocator.malloc(1, 5 * MIB)
    assert allocator.reserved == 20 * MIB
    assert allocator.malloc(2, 18 * MIB) == first + 5 * MIB
    assert (allocator.reserved, allocator.mallocs) == (40 * MIB, 2)


def test_small_requests_grow_by_two_mebibytes():
    """Three blocks of 1 MiB need two granules of 2 MiB, end to end."""
    allocator = expandable()
    first, *others = [allocator.malloc(key, MIB) for key in range(3)]
    assert others == [first + MIB, first + 2 * MIB]
    assert allocator.reserved == 4 * MIB


def test_large_blocks_are_split_for_512_bytes():
    """20 MiB - 512 bytes leave 512 bytes free; from cudaMalloc they would be the block's (should_split)."""
    allocator = expandable()
    allocator.malloc(1, 20 * MIB - 512)
    assert (allocator.allocated, allocator.reserved) == (20 * MIB - 512, 20 * MIB)


def test_only_whole_granules_go_back():
    """5 MiB stay in use, 5 to 40 are free: of that, the granule from 20 to 40 goes, 5 to 20 stay."""
    allocator = expandable()
    first = allocator.malloc(1, 5 * MIB)
    allocator.malloc(2, 18 * MIB)
    allocator.free(2)
    allocator.empty_cache()
    (segment,) = allocator.segments()
    assert (segment.address, segment.size, allocator.frees) == (first, 20 * MIB, 1)
    assert [block.size for block in segment.blocks] == [5 * MIB, 15 * MIB]


def test_a_free_granule_goes_back_from_the_middle_and_is_filled_again():
    """Of three granules the middle one goes, which leaves two stretches; the next 20 MiB take its place."""
    allocator = expandable()
    addresses = [allocator.malloc(key, 20 * MIB) for key in range(3)]
    allocator.free(1)
    allocator.empty_cache()
    assert [segment.address for segment in allocator.segments()] == [addresses[0], addresses[2]]
    assert allocator.reserved == 40 * MIB
    assert allocator.malloc(3, 20 * MIB) == addresses[1]
    assert [segment.size for segment in allocator.segments()] == [60 * MIB]


def test_granules_cut_on_both_sides_stay():
    """Free are 10 to 50 MiB of three granules: 20 to 40 go, 10 to 20 and 40 to 50 stay; with 20 more they are 40."""
    allocator = expandable()
    first, *_ = [allocator.malloc(key, size * MIB) for key, size in enumerate([10, 40, 10])]
    allocator.free(1)
    allocator.empty_cache()
    assert [[block.size // MIB for block in segment.blocks] for segment in allocator.segments()] == [[10, 10], [10, 10]]
    assert (allocator.reserved, allocator.allocated) == (40 * MIB, 20 * MIB)
    assert allocator.malloc(3, 40 * MIB) == first + 10 * MIB
    assert allocator.reserved == 60 * MIB


def test_a_gap_is_filled_with_what_is_free_behind_it():
    """20 to 40 MiB went, 40 to 50 stayed: 30 MiB lie from 20 to 50 for one more granule."""
    allocator = expandable()
    first, *_ = [allocator.malloc(key, size * MIB) for key, size in enumerate([20, 30, 10])]
    allocator.free(1)
    allocator.empty_cache()
    assert allocator.malloc(3, 30 * MIB) == first + 20 * MIB
    assert (allocator.reserved, allocator.allocated) == (60 * MIB, 60 * MIB)


def test_a_gap_too_small_is_passed_over():
    """20 MiB in the gap do not hold 30: the segment grows at its end, by two granules of which 10 MiB stay free."""
    allocator = expandable()
    addresses = [allocator.malloc(key, 20 * MIB) for key in range(3)]
    allocator.free(1)
    allocator.empty_cache()
    assert allocator.malloc(3, 30 * MIB) == addresses[2] + 20 * MIB
    assert allocator.reserved == 80 * MIB


def test_the_block_that_could_grow_is_the_last_choice():
    """Free are 12 MiB at the end, which could grow without end, and 20 between: 11 go between, though 12 is smaller."""
    allocator = expandable(400 * MIB)
    addresses = [allocator.malloc(key, size * MIB) for key, size in enumerate([20, 20, 8])]
    allocator.free(1)
    assert allocator.malloc(3, 11 * MIB) == addresses[1]


def test_memory_is_mapped_all_or_not_at_all():
    """35 MiB lack 20 after the 15 that are free: 40 reserved are within 50. 36 more would be 80: refused, 40 kept."""
    allocator = expandable(50 * MIB)
    allocator.malloc(1, 5 * MIB)
    allocator.malloc(2, 35 * MIB)
    with pytest.raises(NoRoom) as caught:
        allocator.malloc(3, 36 * MIB)
    error = caught.value
    assert (error.requested, error.reserved, error.allocated) == (36 * MIB, 40 * MIB, 40 * MIB)
    assert (allocator.retries, allocator.reserved) == (1, 40 * MIB)


def test_free_granules_of_one_pool_make_room_in_the_other():
    """40 MiB of large blocks are free of 41; 1 MiB of small ones wants 2: the large granules go back, one retry."""
    allocator = expandable(41 * MIB)
    allocator.malloc(1, 40 * MIB)
    allocator.free(1)
    allocator.malloc(2, MIB)
    assert (allocator.retries, allocator.reserved) == (1, 2 * MIB)
