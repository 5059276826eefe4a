"""Blocks of simulated device memory, the pools that keep free ones, and the device that hands memory out.

After struct Block and struct BlockPool in c10/cuda/CUDACachingAllocator.cpp of torch 2.13. Sizes are bytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

FIRST_ADDRESS = 2**40
"""Any address but 0, which stands for no block; only the order of addresses decides anything."""


class Block:
    """A stretch of one segment, in use or free; `previous` and `following` are its neighbours there.

    `start` is the segment's first address, `requested` what was asked for the block. Without `mapped`, its
    addresses have no memory behind them. `born` is the number of searches its pool had seen when the block
    last became free.
    """

    __slots__ = ("address", "born", "following", "in_use", "mapped", "pool", "previous", "requested", "size", "start")

    def __init__(self, pool: Pool, start: int, address: int, size: int, *, mapped: bool = True) -> None:
        self.pool = pool
        self.start = start
        self.address = address
        self.size = size
        self.mapped = mapped
        self.requested = 0
        self.in_use = False
        self.born = 0
        self.previous: Block | None = None
        self.following: Block | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all of its segment (not Block::is_split)."""
        return self.previous is None and self.following is None

    def cut(self, size: int) -> Block:
        """Keep the first `size` bytes and return the rest as a block of its own."""
        rest = Block(self.pool, self.start, self.address + size, self.size - size, mapped=self.mapped)
        rest.previous, rest.following = self, self.following
        if self.following is not None:
            self.following.previous = rest
        self.following = rest
        self.size = size
        return rest

    def swallow(self) -> None:
        """Take the following block in."""
        gone = self.following
        assert gone is not None
        self.size += gone.size
        self.following = gone.following
        if gone.following is not None:
            gone.following.previous = self

    def chain(self) -> Iterator[Block]:
        """Yield this block and all that follow."""
        block: Block | None = self
        while block is not None:
            yield block
            block = block.following


class Pool:
    """Free blocks of one kind, ordered by size and then address; `searches` counts how often one was looked for.

    Of an expandable segment it also keeps the blocks without memory, by address.
    """

    def __init__(self, *, small: bool) -> None:
        self.small = small
        self.free: list[tuple[int, int, Block]] = []
        self.unmapped: list[tuple[int, Block]] = []
        self.searches = 0

    def add(self, block: Block) -> None:
        """Keep a free block (BlockPool::insert_into_blocks)."""
        block.born = self.searches
        insort(self.free, (block.size, block.address, block))

    def remove(self, block: Block) -> None:
        """Take a free block out."""
        del self.free[bisect_left(self.free, (block.size, block.address))]

    def add_unmapped(self, block: Block) -> None:
        """Keep a block without memory."""
        insort(self.unmapped, (block.address, block))

    def remove_unmapped(self, block: Block) -> None:
        """Take a block without memory out."""
        del self.unmapped[bisect_left(self.unmapped, (block.address,))]

    def put_back(self, block: Block) -> Block:
        """Keep a free block, one with its free neighbours, and return what became of it (free_block)."""
        block.in_use = False
        block = self.merged(block)
        self.add(block)
        return block

    def merged(self, block: Block) -> Block:
        """Return a block that no pool keeps as one with its neighbours of the same kind (try_merge_blocks)."""
        for neighbour in (block.previous, block.following):
            if neighbour is None or neighbour.in_use or neighbour.mapped is not block.mapped:
                continue
            if block.mapped:
                self.remove(neighbour)
            else:
                self.remove_unmapped(neighbour)
            block = neighbour if neighbour is block.previous else block
            block.swallow()
        return block


class Device:
    """The memory a driver has: `capacity` bytes, None for no end; `reserved` is what it has handed out.

    `mallocs` counts how often it was asked and gave, `frees` how often it was given back. Addresses are
    never used twice.
    """

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self.reserved = 0
        self.peak = 0
        self.mallocs = 0
        self.frees = 0
        self._next_address = FIRST_ADDRESS

    def take(self, size: int) -> bool:
        """Hand `size` bytes out, all or none; say whether they were there."""
        if self.capacity is not None and self.reserved + size > self.capacity:
            return False
        self.reserved += size
        self.peak = max(self.peak, self.reserved)
        self.mallocs += 1
        return True

    def give_back(self, size: int) -> None:
        """Take `size` bytes back."""
        self.reserved -= size
        self.frees += 1

    def addresses(self, size: int) -> int:
        """Return the first of `size` addresses that nobody has."""
        address = self._next_address
        self._next_address += size
        return address


@dataclass(frozen=True, slots=True)
class Piece:
    """A block as it was: `requested` bytes of its `size` are what was asked for, 0 if it is free."""

    address: int
    size: int
    requested: int
    in_use: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of addresses with memory behind it, and its blocks in order."""

    address: int
    size: int
    blocks: tuple[Piece, ...]


def mapped_segments(head: Block) -> Iterator[Segment]:
    """Yield the stretches with memory from `head` on (DeviceCachingAllocator::snapshot)."""
    pieces: list[Piece] = []
    for block in head.chain():
        if block.mapped:
            requested = block.requested if block.in_use else 0
            pieces.append(Piece(block.address, block.size, requested, block.in_use))
        if pieces and (not block.mapped or block.following is None):
            yield Segment(pieces[0].address, sum(piece.size for piece in pieces), tuple(pieces))
            pieces = []
