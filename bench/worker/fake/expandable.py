"""Segments that grow: addresses for the whole device, memory put behind them granule by granule.

After c10/cuda/CUDACachingAllocator.cpp of torch 2.13; each function names its own there. Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.worker.fake.blocks import Block, Device, Pool, Segment, mapped_segments
from bench.worker.fake.cuda_malloc import SMALL_BUFFER

ENDLESS = 2**48
"""Addresses of a segment on a device without end: 256 TiB, all that CUDA has (Note [Expandable Segments])."""


class Expandable:
    """Puts memory of `device` behind addresses, and takes it away where whole granules are free.

    A granule is 2 MiB in the small pool, `large_segment_size` in the large one.
    """

    def __init__(self, device: Device, large_segment_size: int) -> None:
        self._device = device
        self._large_segment_size = large_segment_size
        self._heads: dict[int, Block] = {}

    def obtain(self, pool: Pool, size: int) -> Block | None:
        """Return a block of at least `size` that no pool keeps; None without room (try_allocate_expandable_block).

        What was mapped before the room ran out stays mapped, and free.
        """
        block = self._candidate(pool, size)
        if not block.mapped:
            mapped = self._map(block, min(block.size, size))
            if mapped is None:
                return None
            block = mapped
        while block.size < size:
            following = block.following
            assert following is not None
            mapped = self._map(following, min(size - block.size, following.size))
            if mapped is None:
                return None
            block = mapped
        pool.remove(block)
        return block

    def release(self, pool: Pool) -> None:
        """Take the memory from every whole granule that is free (release_blocks)."""
        for _, _, block in list(pool.free):
            unmapped = self._unmap(block)
            if unmapped is not None and unmapped.whole:
                pool.remove_unmapped(unmapped)
                del self._heads[unmapped.address]

    def segments(self) -> Iterator[Segment]:
        """Yield all stretches with memory."""
        for head in self._heads.values():
            yield from mapped_segments(head)

    def _granule(self, pool: Pool) -> int:
        return SMALL_BUFFER if pool.small else self._large_segment_size

    def _candidate(self, pool: Pool, size: int) -> Block:
        """Return the free block at the lowest address from which `size` addresses are free (find_expandable_block).

        It has no memory itself, or the next has none. Where no segment has so many addresses left a new one
        is begun, with 1 1/8 times as many as the device has memory.
        """
        for _, block in pool.unmapped:
            before = block.previous
            candidate = before if before is not None and not before.in_use else block
            reach = 0
            for one in candidate.chain():
                if one.in_use or reach >= size:
                    break
                reach += one.size
            if reach >= size:
                return candidate
        granule = self._granule(pool)
        capacity = self._device.capacity
        wanted = ENDLESS if capacity is None else capacity + capacity // 8
        addresses = -(-wanted // granule) * granule
        start = self._device.addresses(addresses)
        head = self._heads[start] = Block(pool, start, start, addresses, mapped=False)
        pool.add_unmapped(head)
        return head

    def _map(self, block: Block, size: int) -> Block | None:
        """Put memory behind the first `size` bytes of a block, rounded up to granules, and keep it as free (map_block).

        Returns the free block of which it is now part; None if the device has not so much.
        """
        pool = block.pool
        granule = self._granule(pool)
        mapped = -(-size // granule) * granule
        if not self._device.take(mapped):
            return None
        pool.remove_unmapped(block)
        if mapped < block.size:
            pool.add_unmapped(block.cut(mapped))
        block.mapped = True
        return pool.put_back(block)

    def _unmap(self, block: Block) -> Block | None:
        """Take the memory from the whole granules within a free block (unmap_block).

        Returns the block without memory of which they are now part; None if no granule is whole. What
        lies before and behind them in the block stays free, as blocks of their own.
        """
        pool = block.pool
        granule = self._granule(pool)
        offset = block.address - block.start
        before = -offset % granule
        size = (offset + block.size) // granule * granule - (offset + before)
        if size <= 0:
            return None
        pool.remove(block)
        middle = block.cut(before) if before else block
        if before:
            pool.add(block)
        if middle.size > size:
            pool.add(middle.cut(size))
        middle.mapped = False
        self._device.give_back(size)
        middle = pool.merged(middle)
        pool.add_unmapped(middle)
        return middle
