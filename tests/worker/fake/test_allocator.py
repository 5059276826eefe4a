"""The simulated allocator follows the rules of torch's, worked out by hand."""

from __future__ import annotations

import pytest

from bench.worker.devices.cuda import ASKED
from bench.worker.fake.allocator import CachingAllocator, NoRoom
from bench.worker.fake.settings import AllocatorSettings

MIB = 2**20


def test_small_requests_share_segments_of_two_mebibytes():
    """2 MiB / 512 bytes = 4096 requests of one byte each fill a segment; the next opens another."""
    allocator = CachingAllocator()
    for key in range(4096):
        allocator.malloc(key, 1)
    assert (allocator.requested, allocator.allocated, allocator.reserved) == (4096, 2 * MIB, 2 * MIB)
    allocator.malloc(4096, 1)
    assert (allocator.reserved, allocator.mallocs) == (4 * MIB, 2)


def test_more_than_a_mebibyte_is_large():
    """1 MiB goes to the small pool, 2 MiB; one byte more rounds to 1 MiB + 512 and takes a 20 MiB segment."""
    allocator = CachingAllocator()
    allocator.malloc(1, MIB)
    assert allocator.reserved == 2 * MIB
    allocator.malloc(2, MIB + 1)
    assert (allocator.reserved, allocator.allocated) == (22 * MIB, 2 * MIB + 512)


def test_what_is_left_of_a_block_serves_the_next_request():
    """20 - 9 - 9 = 2 MiB are more than 1 MiB, stay free, and are all of the third block."""
    allocator = CachingAllocator()
    first = allocator.malloc(1, 9 * MIB)
    assert allocator.malloc(2, 9 * MIB) == first + 9 * MIB
    assert allocator.malloc(3, 2 * MIB) == first + 18 * MIB
    assert (allocator.allocated, allocator.reserved, allocator.mallocs) == (20 * MIB, 20 * MIB, 1)


def test_a_large_block_is_not_split_for_a_mebibyte():
    """Of the 11 MiB left after 9 a request for 10 takes all: 1 MiB is not more than 1 MiB (should_split)."""
    allocator = CachingAllocator()
    allocator.malloc(1, 9 * MIB)
    allocator.malloc(2, 10 * MIB)
    assert (allocator.requested, allocator.allocated, allocator.reserved) == (19 * MIB, 20 * MIB, 20 * MIB)


def test_the_smallest_block_that_fits_is_taken_and_of_two_the_lower():
    """Free are 12, 14 and 12 MiB, kept apart by being segments of their own; 11 MiB go to the first of the 12."""
    allocator = CachingAllocator()
    addresses = [allocator.malloc(key, size * MIB) for key, size in enumerate([14, 12, 12])]
    for key in (2, 0, 1):
        allocator.free(key)
    assert allocator.malloc(3, 11 * MIB) == addresses[1]
    assert allocator.malloc(4, 13 * MIB) == addresses[0]


def test_a_freed_block_becomes_one_with_both_neighbours():
    """6 + 6 + 6 + 2 free = 20 MiB: with the middle freed last, one block serves 20 MiB without a new segment."""
    allocator = CachingAllocator()
    first, *_ = [allocator.malloc(key, 6 * MIB) for key in range(3)]
    for key in (0, 2, 1):
        allocator.free(key)
    assert allocator.malloc(3, 20 * MIB) == first
    assert (allocator.reserved, allocator.mallocs) == (20 * MIB, 1)


def test_without_room_what_is_cached_goes_back_first():
    """30 cached and 40 wanted are more than 60 MiB: one retry later 40 are reserved, and the 30 were freed."""
    allocator = CachingAllocator(60 * MIB)
    allocator.malloc(1, 30 * MIB)
    allocator.free(1)
    allocator.malloc(2, 40 * MIB)
    assert (allocator.retries, allocator.mallocs, allocator.frees) == (1, 2, 1)
    assert (allocator.reserved, allocator.peak_reserved) == (40 * MIB, 40 * MIB)


def test_no_room_says_what_torch_would_say():
    """5 MiB hold a segment of 20; 49 MiB want one of 50, and 70 are more than 64. Devices can read the message."""
    allocator = CachingAllocator(64 * MIB)
    allocator.malloc(1, 5 * MIB)
    with pytest.raises(NoRoom) as caught:
        allocator.malloc(2, 49 * MIB)
    error = caught.value
    assert (error.requested, error.reserved, error.allocated) == (50 * MIB, 20 * MIB, 5 * MIB)
    assert error.capacity == 64 * MIB
    assert ASKED.search(str(error)).groups() == ("50.00", "MiB")
    assert "15.00 MiB are reserved but free" in str(error)
    assert allocator.malloc(2, 44 * MIB)


def test_a_process_may_be_allowed_less_than_the_device_has():
    """Half of 100 MiB are 50: after 40, 20 more are refused, though the device has them, and 10 are not."""
    allocator = CachingAllocator(100 * MIB, AllocatorSettings(per_process_memory_fraction=0.5))
    allocator.malloc(1, 40 * MIB)
    with pytest.raises(NoRoom) as caught:
        allocator.malloc(2, 20 * MIB)
    assert caught.value.capacity == 50 * MIB
    assert allocator.malloc(2, 10 * MIB)


def test_emptying_the_cache_keeps_segments_in_part_use():
    """The 20 MiB segment with 2 MiB in use stays, the 30 MiB segment goes."""
    allocator = CachingAllocator()
    for key, size in enumerate([2, 2, 30]):
        allocator.malloc(key, size * MIB)
    allocator.free(0)
    allocator.free(2)
    allocator.empty_cache()
    assert (allocator.reserved, allocator.allocated) == (20 * MIB, 2 * MIB)


def test_requests_can_be_rounded_to_divisions_of_powers_of_two():
    """Between 4 and 8 MiB four divisions are 1 MiB each: 5 MiB + 1 becomes 6; below 4 x 512 bytes 512 counts."""
    allocator = CachingAllocator(None, AllocatorSettings(roundup_power2_divisions=(4,) * 16))
    allocator.malloc(1, 5 * MIB + 1)
    assert allocator.allocated == 6 * MIB
    allocator.malloc(2, 4 * MIB)
    allocator.malloc(3, 1025)
    assert allocator.allocated == 10 * MIB + 1536


def test_a_block_can_change_its_key():
    """A result that takes its operand's memory over is the same block: same place, same request, one free."""
    allocator = CachingAllocator()
    place = allocator.malloc(1, 1000)
    allocator.rename(1, 2)
    assert (allocator.address(1), allocator.address(2), allocator.requested) == (0, place, 1000)
    allocator.free(1)
    assert allocator.allocated == 1024
    allocator.free(2)
    assert allocator.allocated == 0


def test_a_key_holds_one_block():
    """Taking or renaming over a live block would lose it."""
    allocator = CachingAllocator()
    allocator.malloc(1, 512)
    allocator.malloc(2, 512)
    with pytest.raises(ValueError, match="block 1 is in use already"):
        allocator.malloc(1, 512)
    with pytest.raises(ValueError, match="block 2 is in use already"):
        allocator.rename(1, 2)


def test_nothing_asked_is_nothing_held():
    """Zero bytes have no block, no address and nothing to free or rename."""
    allocator = CachingAllocator()
    assert allocator.malloc(1, 0) == allocator.address(1) == 0
    allocator.rename(1, 2)
    allocator.free(2)
    assert (allocator.peak_requested, allocator.peak_reserved, allocator.mallocs) == (0, 0, 0)
