"""Segments that are one cudaMalloc each and go back whole.

After c10/cuda/CUDACachingAllocator.cpp of torch 2.13; each function names its own there. Sizes are bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from bench.worker.fake.blocks import Block, Device, Pool, Segment, mapped_segments
from bench.worker.fake.settings import MIB, MIN_LARGE_ALLOC

SMALL_SIZE = MIB
"""Largest request that the small pool serves (kSmallSize)."""

SMALL_BUFFER = 2 * MIB
"""Segment of the small pool (kSmallBuffer)."""

ROUND_LARGE = 2 * MIB
"""Large segments are multiples of this (kRoundLarge)."""


def allocation_size(size: int, large_segment_size: int) -> int:
    """Return the bytes of the segment for a rounded request of `size` (get_allocation_size)."""
    if size <= SMALL_SIZE:
        return SMALL_BUFFER
    if size < MIN_LARGE_ALLOC:
        return large_segment_size
    return -(-size // ROUND_LARGE) * ROUND_LARGE


class CudaMalloc:
    """Gets segments from `device` and gives unsplit ones back."""

    def __init__(self, device: Device, large_segment_size: int) -> None:
        self._device = device
        self._large_segment_size = large_segment_size
        self._heads: dict[int, Block] = {}

    def obtain(self, pool: Pool, size: int) -> Block | None:
        """Return a segment for a rounded request as one block that no pool keeps; None without room (alloc_block)."""
        segment = allocation_size(size, self._large_segment_size)
        if not self._device.take(segment):
            return None
        address = self._device.addresses(segment)
        block = self._heads[address] = Block(pool, address, address, segment)
        return block

    def release(self, pool: Pool) -> None:
        """Give every segment of which no part is in use back (release_blocks)."""
        for _, _, block in [entry for entry in pool.free if entry[2].whole]:
            self._release(block)

    def release_oversize(self, pool: Pool, size: int, max_split_size: int) -> bool:
        """Give oversize blocks back, as many as make room for `size`; say whether they do.

        One that is large enough, or the largest ones together (release_available_cached_blocks). None of
        less than `max_split_size` is large enough, or the search would have found it.
        """
        place = bisect_left(pool.free, (size,))
        if place < len(pool.free):
            self._release(pool.free[place][2])
            return True
        released = 0
        while released < size and pool.free and pool.free[-1][0] >= max_split_size:
            released += pool.free[-1][0]
            self._release(pool.free[-1][2])
        return released >= size

    def collect(self, pool: Pool, target: int) -> None:
        """Give back at least `target` bytes of unsplit blocks, if there are so many, the longest unused first.

        Every pass gives back all that are no younger than the average, and does not stop at the target
        (garbage_collect_cached_blocks). A `target` of 0 or less is reached without any.
        """
        candidates = [block for _, _, block in pool.free if block.whole]
        reclaimed = 0
        while candidates and reclaimed < target:
            ages = [pool.searches - block.born for block in candidates]
            average = sum(ages) / len(ages)
            old = [block for block, age in zip(candidates, ages, strict=True) if age >= average]
            candidates = [block for block, age in zip(candidates, ages, strict=True) if age < average]
            for block in old:
                reclaimed += block.size
                self._release(block)

    def segments(self) -> Iterator[Segment]:
        """Yield all segments."""
        for head in self._heads.values():
            yield from mapped_segments(head)

    def _release(self, block: Block) -> None:
        """Give a segment back (release_block)."""
        block.pool.remove(block)
        del self._heads[block.address]
        self._device.give_back(block.size)
