"""The simulated allocator counts what torch's own counts, and whatever happens loses no byte."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.worker.fake.allocator import CachingAllocator, NoRoom
from bench.worker.fake.settings import AllocatorSettings

MIB = 2**20
COUNTED = json.loads((Path(__file__).parent / "torch_allocator" / "counted.json").read_text())
SETTINGS = sorted({case["settings"] for case in COUNTED})

SIZES = st.one_of(st.integers(0, 3 * MIB), st.integers(0, 64 * MIB), st.sampled_from([512, MIB, 10 * MIB, 20 * MIB]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("malloc"), st.integers(0, 15), SIZES),
        st.tuples(st.sampled_from(["free", "rename", "empty", "reset"]), st.integers(0, 15), st.integers(0, 15)),
    ),
    max_size=60,
)


def step(allocator: CachingAllocator, what: str, key: int = 0, value: int = 0) -> int:
    """Do one thing and return the address it gave: 0 for none, -1 for no room. Keys in use are freed first."""
    if what == "malloc":
        allocator.free(key)
        try:
            return allocator.malloc(key, value)
        except NoRoom:
            return -1
    if what == "free":
        allocator.free(key)
    elif what == "rename":
        if key != value:
            allocator.free(value)
            allocator.rename(key, value)
    elif what == "empty":
        allocator.empty_cache()
    else:
        allocator.reset_peaks()
    return 0


def counted(allocator: CachingAllocator) -> tuple[int, ...]:
    return (
        allocator.allocated, allocator.reserved, allocator.requested,
        allocator.peak_allocated, allocator.peak_reserved, allocator.peak_requested,
        allocator.retries, allocator.mallocs, allocator.frees,
    )  # fmt: skip


def check_blocks(allocator: CachingAllocator) -> None:
    """Compare what is counted with the blocks that are there."""
    segments = allocator.segments()
    assert all(first.address + first.size <= second.address for first, second in pairwise(segments))
    for segment in segments:
        ends = [segment.address, *(block.address + block.size for block in segment.blocks)]
        assert ends == [*(block.address for block in segment.blocks), segment.address + segment.size]
        assert not any(not first.in_use and not second.in_use for first, second in pairwise(segment.blocks))
    blocks = [block for segment in segments for block in segment.blocks]
    used = [block for block in blocks if block.in_use]
    assert sum(segment.size for segment in segments) == allocator.reserved
    assert sum(block.size for block in used) == allocator.allocated
    assert sum(block.requested for block in blocks) == allocator.requested
    assert allocator.requested <= allocator.allocated <= allocator.reserved


@pytest.mark.parametrize("case", COUNTED, ids=[f"{case['capacity']}-{case['settings']}" for case in COUNTED])
def test_torchs_own_allocator_counts_the_same(case):
    """libc10_cuda.so of torch 2.13, on a stand-in for the driver, gave these addresses and numbers step by step."""
    allocator = CachingAllocator(case["capacity"], AllocatorSettings.parse(case["settings"]))
    for number, (line, expected) in enumerate(zip(case["steps"], case["counted"], strict=True)):
        what, *values = line.split()
        address = step(allocator, what, *map(int, values))
        assert (address, *counted(allocator)) == tuple(map(int, expected.split())), f"step {number}: {line}"


@given(STEPS, st.sampled_from(SETTINGS), st.sampled_from([None, 80 * MIB, 300 * MIB + 511]))
def test_no_byte_is_lost_or_used_twice(steps, text, capacity):
    """Blocks fill their segments without overlap, free neighbours are one, and the sums are what is counted."""
    allocator = CachingAllocator(capacity, AllocatorSettings.parse(text))
    for what in steps:
        step(allocator, *what)
        check_blocks(allocator)
        assert capacity is None or allocator.reserved <= capacity


@given(STEPS, st.sampled_from(SETTINGS), st.sampled_from([None, 80 * MIB]))
def test_peaks_only_rise_until_they_are_reset(steps, text, capacity):
    """A peak is never below what is held, never falls, and after a reset is what is held."""
    allocator = CachingAllocator(capacity, AllocatorSettings.parse(text))
    before = (0, 0, 0)
    for what in steps:
        step(allocator, *what)
        now, peaks = counted(allocator)[:3], counted(allocator)[3:6]
        floor = now if what[0] == "reset" else tuple(map(max, before, now))
        assert peaks == now if what[0] == "reset" else all(map(int.__ge__, peaks, floor))
        before = peaks


@given(STEPS, st.sampled_from(SETTINGS), st.sampled_from([None, 80 * MIB]))
def test_after_everything_is_freed_the_device_gets_all_back(steps, text, capacity):
    """Nothing stays reserved once all blocks are free and the cache is emptied."""
    allocator = CachingAllocator(capacity, AllocatorSettings.parse(text))
    for what in steps:
        step(allocator, *what)
    for key in range(16):
        allocator.free(key)
    allocator.empty_cache()
    assert counted(allocator)[:3] == (0, 0, 0)
    assert allocator.segments() == []


@given(STEPS, st.sampled_from(SETTINGS))
def test_the_same_steps_give_the_same_addresses(steps, text):
    """A simulation can be repeated: addresses, numbers and segments come out the same."""
    first, second = (CachingAllocator(100 * MIB, AllocatorSettings.parse(text)) for _ in range(2))
    assert [step(first, *what) for what in steps] == [step(second, *what) for what in steps]
    assert counted(first) == counted(second)
    assert first.segments() == second.segments()
