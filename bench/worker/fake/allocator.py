"""torch's CUDA caching allocator, simulated: where the bytes of a run lie, without a GPU.

After DeviceCachingAllocator in c10/cuda/CUDACachingAllocator.cpp of torch 2.13, native backend, on one
device and one stream, without CUDA graphs and private pools. Each rule names its function there.
"""

from __future__ import annotations

from bisect import bisect_left

from bench.worker.fake.blocks import Block, Device, Pool, Segment
from bench.worker.fake.cuda_malloc import SMALL_SIZE, CudaMalloc, allocation_size
from bench.worker.fake.expandable import Expandable
from bench.worker.fake.settings import MIB, AllocatorSettings

MIN_BLOCK_SIZE = 512
"""Requests are rounded up to multiples of this many bytes (kMinBlockSize)."""

DEFAULTS = AllocatorSettings()


class NoRoom(Exception):  # noqa: N818 (an answer of the simulated device, not an error of the user's)
    """The device has no room, after all that could be given back was. All in bytes.

    `requested` is the segment that was wanted, the number in torch's own message. `capacity` is what the
    allocator may hold.
    """

    def __init__(self, requested: int, reserved: int, allocated: int, capacity: int) -> None:
        self.requested = requested
        self.reserved = reserved
        self.allocated = allocated
        self.capacity = capacity
        super().__init__(
            f"out of simulated CUDA memory. Tried to allocate {requested / MIB:.2f} MiB: of {capacity / MIB:.2f} MiB, "
            f"{allocated / MIB:.2f} MiB are allocated and {(reserved - allocated) / MIB:.2f} MiB are reserved but free."
        )


class CachingAllocator:
    """Hands out blocks by key on a device of `capacity` bytes (None: without end), and counts what torch counts.

    `allocated` is the bytes of blocks in use, `requested` what was asked for them, `reserved` what the
    device has handed out (torch.cuda.memory_allocated, memory_stats' requested_bytes, memory_reserved);
    the peaks are the most since the start or `reset_peaks`. `retries` counts how often everything cached
    was given back because there was no room (num_alloc_retries). `per_process_memory_fraction` is a
    fraction of `capacity`, and limits nothing without one.
    """

    def __init__(self, capacity: int | None = None, settings: AllocatorSettings = DEFAULTS) -> None:
        self._settings = settings
        self._device = Device(capacity)
        source = Expandable if settings.expandable_segments else CudaMalloc
        self._source = source(self._device, settings.large_segment_size)
        self._small, self._large = Pool(small=True), Pool(small=False)
        self._live: dict[int, Block] = {}
        self._allowed: int | None = None
        if capacity is not None and settings.per_process_memory_fraction < 1:
            self._allowed = int(settings.per_process_memory_fraction * capacity)
        self._collects = self._allowed is not None and settings.garbage_collection_threshold > 0
        self._rounds_to_powers = max(settings.roundup_power2_divisions) > 1
        self.allocated = self.requested = 0
        self.peak_allocated = self.peak_requested = 0
        self.retries = 0

    @property
    def reserved(self) -> int:
        """Bytes the device has handed out."""
        return self._device.reserved

    @property
    def peak_reserved(self) -> int:
        """The most bytes the device had handed out."""
        return self._device.peak

    @property
    def mallocs(self) -> int:
        """How often the device handed memory out: by cudaMalloc, or mapped (num_device_alloc)."""
        return self._device.mallocs

    @property
    def frees(self) -> int:
        """How often the device got memory back: by cudaFree, or unmapped (num_device_free)."""
        return self._device.frees

    def malloc(self, key: int, size: int) -> int:
        """Hand out a block of `size` bytes and return its address; 0 and no block for 0 bytes.

        Raises `NoRoom`, and `ValueError` if `key` has a block already.
        """
        if key in self._live:
            raise ValueError(f"block {key} is in use already")
        if size <= 0:
            return 0
        rounded = self._rounded(size)
        pool = self._small if rounded <= SMALL_SIZE else self._large
        block = self._find(pool, rounded) or self._obtain(pool, rounded)
        if self._splits(block, rounded):
            pool.add(block.cut(rounded))
        block.in_use = True
        block.requested = size
        self._live[key] = block
        self.allocated += block.size
        self.requested += size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        self.peak_requested = max(self.peak_requested, self.requested)
        return block.address

    def free(self, key: int) -> None:
        """Take a block back; a key that has none is passed over (free, free_block)."""
        block = self._live.pop(key, None)
        if block is not None:
            self.allocated -= block.size
            self.requested -= block.requested
            block.pool.put_back(block)

    def rename(self, old: int, new: int) -> None:
        """Give the block of `old`, if it has one, to `new`. Raises `ValueError` if `new` has a block already."""
        if new in self._live:
            raise ValueError(f"block {new} is in use already")
        if old in self._live:
            self._live[new] = self._live.pop(old)

    def address(self, key: int) -> int:
        """Return where a block lies, 0 if `key` has none."""
        block = self._live.get(key)
        return 0 if block is None else block.address

    def empty_cache(self) -> None:
        """Give everything back to the device that is free and can go (release_cached_blocks)."""
        self._source.release(self._large)
        self._source.release(self._small)

    def reset_peaks(self) -> None:
        """Let all peaks start again from what is held now (resetPeakStats)."""
        self.peak_allocated, self.peak_requested = self.allocated, self.requested
        self._device.peak = self._device.reserved

    def segments(self) -> list[Segment]:
        """Return all memory the device has handed out, by address (snapshot)."""
        return sorted(self._source.segments(), key=lambda segment: segment.address)

    def _rounded(self, size: int) -> int:
        """Round a request up to 512 bytes, or to a division of its power of two (round_size)."""
        if self._rounds_to_powers:
            divisions = self._settings.divisions(size)
            if divisions > 1 and size > MIN_BLOCK_SIZE * divisions:
                step = (1 << (size.bit_length() - 1)) // divisions
                return -(-size // step) * step
        return -(-size // MIN_BLOCK_SIZE) * MIN_BLOCK_SIZE

    def _splits(self, block: Block, size: int) -> bool:
        """Say whether what a block has above `size` stays free (should_split)."""
        rest = block.size - size
        if block.pool.small or self._settings.expandable_segments:
            return rest >= MIN_BLOCK_SIZE
        limit = self._settings.max_split_size
        return rest > SMALL_SIZE and (limit is None or size < limit)

    def _find(self, pool: Pool, size: int) -> Block | None:
        """Take the best fitting free block: the smallest, at the lowest address (get_free_block).

        Blocks of `max_split_size` and more are for requests as large, and only if little is left over.
        """
        if self._collects:
            pool.searches += 1
        free = pool.free
        place = bisect_left(free, (size,))
        if place == len(free):
            return None
        if self._settings.expandable_segments:
            place = _least_growth(free, place)
        block = free[place][2]
        limit = self._settings.max_split_size
        if limit is not None:
            spare = self._settings.max_non_split_rounding_size or self._settings.large_segment_size
            if block.size >= (limit if size < limit else size + spare):
                return None
        del free[place]
        return block

    def _obtain(self, pool: Pool, size: int) -> Block:
        """Get a block from the device; if it has no room, give back what is cached and try again (malloc)."""
        wanted = allocation_size(size, self._settings.large_segment_size)
        if self._collects:
            self._collect()
        block = self._ask(pool, size, wanted)
        if block is None and self._released_oversize(pool, size):
            block = self._ask(pool, size, wanted)
        if block is None:
            self.empty_cache()
            self.retries += 1
            block = self._ask(pool, size, wanted)
        if block is None:
            capacity = self._device.capacity if self._allowed is None else self._allowed
            assert capacity is not None
            raise NoRoom(wanted, self.reserved, self.allocated, capacity)
        return block

    def _ask(self, pool: Pool, size: int, wanted: int) -> Block | None:
        """Get a block from the device, unless the process may not have so much (alloc_block)."""
        if self._allowed is not None and self.reserved + wanted > self._allowed:
            return None
        return self._source.obtain(pool, size)

    def _released_oversize(self, pool: Pool, size: int) -> bool:
        limit = self._settings.max_split_size
        if limit is None or isinstance(self._source, Expandable):
            return False
        return self._source.release_oversize(pool, size, limit)

    def _collect(self) -> None:
        """Give back what lies unused in the large pool, past the threshold (garbage_collect_cached_blocks)."""
        assert self._allowed is not None
        excess = self.reserved - int(self._settings.garbage_collection_threshold * self._allowed)
        if isinstance(self._source, CudaMalloc):
            self._source.collect(self._large, excess)


def _least_growth(free: list[tuple[int, int, Block]], place: int) -> int:
    """Step from `place` to larger blocks while each is smaller with what it can grow by (get_free_block)."""
    while place + 1 < len(free) and _grown(free[place + 1][2]) < _grown(free[place][2]):
        place += 1
    return place


def _grown(block: Block) -> int:
    following = block.following
    return block.size + (following.size if following is not None and not following.mapped else 0)
