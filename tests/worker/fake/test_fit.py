"""What a simulated run took and released, done again on a card with less memory, ends where the card's would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.fit import Fit, replay
from bench.worker.fake.heap import Heap
from bench.worker.fake.settings import AllocatorSettings

MIB = 2**20


@pytest.fixture
def heap():
    return Heap(CachingAllocator())


def test_what_fits_is_refused_nothing(heap):
    """Two segments of 20 MiB fit into 40."""
    heap.take(20 * MIB)
    heap.take(20 * MIB)

    assert replay(heap.events, 40 * MIB) == Fit(refused=None, retries=0)


def test_the_first_block_without_room_is_named(heap):
    """The refused event says how many bytes, for which operation, and where in the run."""
    heap.take(20 * MIB)
    heap.operation, heap.moment = "mm", "train, backward of step 2"
    heap.take(30 * MIB)
    heap.take(30 * MIB)

    refused = replay(heap.events, 49 * MIB).refused

    assert refused == heap.events[1]
    assert (refused.value, refused.during, refused.moment) == (30 * MIB, "mm", "train, backward of step 2")


def test_giving_cached_segments_back_makes_room_and_is_counted(heap):
    """20 MiB that nobody uses go back to the device for a block of 30; without a limit they would have stayed."""
    heap.release(heap.take(20 * MIB))
    heap.take(30 * MIB)

    assert heap.allocator.peak_reserved == 50 * MIB
    assert replay(heap.events, 40 * MIB) == Fit(refused=None, retries=1)


def test_an_emptied_cache_needs_no_retry(heap):
    """Where the run itself gives segments back, they are given back here too."""
    heap.release(heap.take(20 * MIB))
    heap.empty_cache()
    heap.take(30 * MIB)

    assert replay(heap.events, 40 * MIB) == Fit(refused=None, retries=0)


def test_a_block_taken_over_needs_no_room(heap):
    """It is the old one under another key, and is released by that."""
    old = heap.take(30 * MIB)
    new = heap.take(30 * MIB, taken_over=[old])
    heap.release(old)
    heap.release(new)
    heap.take(30 * MIB)

    assert replay(heap.events, 30 * MIB) == Fit(refused=None, retries=0)


def test_the_allocators_settings_count(heap):
    """Who may have half of the card only is refused what half of it does not hold."""
    heap.take(20 * MIB)
    heap.take(20 * MIB)
    half = AllocatorSettings(per_process_memory_fraction=0.5)

    assert replay(heap.events, 80 * MIB, half).refused is None
    assert replay(heap.events, 78 * MIB, half).refused == heap.events[1]


happening = st.sampled_from(["take", "over", "release", "empty", "reset"])
run = st.lists(st.tuples(happening, st.integers(0, 40)), max_size=40)


@given(run)
def test_with_all_that_was_reserved_a_run_fits_without_a_retry(steps):
    """The events are the run: on a card as large as the simulation's peak the allocator does the same again."""
    heap = Heap(CachingAllocator())
    held: list[int] = []
    peak = 0
    for what, number in steps:
        size = number * MIB // 2
        if what == "take":
            held.append(heap.take(size))
        elif what == "over" and held:
            key = held.pop(number % len(held))
            held.append(heap.take(size, taken_over=[key]))
            heap.release(key)
        elif what == "release" and held:
            heap.release(held.pop(number % len(held)))
        elif what == "empty":
            heap.empty_cache()
        elif what == "reset":
            heap.settle()
            peak = max(peak, heap.allocator.peak_reserved)
            heap.reset_peaks()
    heap.settle()
    peak = max(peak, heap.allocator.peak_reserved)

    assert replay(heap.events, peak) == Fit(refused=None, retries=0)
    if peak:
        less = replay(heap.events, peak - 1)
        assert less.refused is not None or less.retries > 0
