"""Pages of mapped files in this process: which are in memory, sending them to disk, asking for them again. Linux."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

from bench.errors import UnsupportedError

PAGE = mmap.PAGESIZE
MS_SYNC = 4  # include/uapi/asm-generic/mman-common.h, like the advice below
MADV_WILLNEED = 3
MADV_PAGEOUT = 21  # Linux 5.4

ATTEMPTS = 3
"""How often pages are sent away that stay: on a busy machine the kernel itself holds some for a moment."""

READAHEAD = 128 * 1024
"""Bytes asked for in one call: the kernel cuts MADV_WILLNEED to the disk's readahead window, which is seldom smaller
(mm/readahead.c, force_page_cache_ra)."""


class Range(NamedTuple):
    """A stretch of memory that can be paged; it starts a page and shares none."""

    name: str
    address: int
    nbytes: int


class HostPager:
    """Moves `ranges` of mapped files out of memory and back. Building one asks the system for nothing."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = tuple(ranges)

    def paged_bytes(self) -> int:
        """Sum the bytes that can be paged."""
        return sum(r.nbytes for r in self.ranges)

    def sizes(self) -> list[int]:
        """Return the bytes of each range, in the order in which a step walks them."""
        return [r.nbytes for r in self.ranges]

    def move_out(self, fraction: float) -> int:
        """Write the first `fraction` of all bytes to disk and drop them from memory, whole pages, in order.

        Returns the bytes that are out of memory now. What the kernel would not let go is not counted: it keeps
        pages in blocks of up to 2 MiB on some file systems, and a block through which a cut goes stays.
        """
        chosen = list(leading(self.ranges, fraction))
        for _ in range(ATTEMPTS):
            for address, nbytes in stretches(chosen):
                _call("msync", address, nbytes, MS_SYNC)
                _release(address)
                _call("madvise", address, nbytes, MADV_PAGEOUT)
            kept = sum(map(_resident, chosen))
            if not kept:
                break
        return sum(r.nbytes for r in chosen) - kept

    def prefetch(self) -> None:
        """Ask for everything and do not wait: the disk reads while the process computes."""
        for r in self.ranges:
            for start in range(r.address, r.address + r.nbytes, READAHEAD):
                _call("madvise", start, min(READAHEAD, r.address + r.nbytes - start), MADV_WILLNEED)

    def make_resident(self) -> None:
        """Bring everything back and wait. Every page is written to, so that a step after it faults on none."""
        self.prefetch()
        for r in self.ranges:
            for page in range(r.address, r.address + r.nbytes, PAGE):
                ctypes.memmove(page, page, 1)

    def resident_bytes(self) -> int:
        """Sum the bytes that are in memory (mincore)."""
        return sum(_resident(r) for r in self.ranges)

    @contextmanager
    def taking(self, path: str) -> Iterator[Callable[[], None]]:
        """Yield what to call when a step starts so that moved state comes back on `path`."""
        yield self.prefetch if path == "prefetch" else _wait_for_faults


def _wait_for_faults() -> None:
    """Bring nothing: the step's own touch does."""


def leading(ranges: Sequence[Range], fraction: float) -> Iterator[Range]:
    """Cut the first `fraction` of all bytes out of `ranges`; a cut falls on the next page's end."""
    wanted = fraction * sum(r.nbytes for r in ranges)
    for r in ranges:
        if wanted <= 0:
            return
        cut = r._replace(nbytes=min(r.nbytes, -int(-wanted // PAGE) * PAGE))
        yield cut
        wanted -= cut.nbytes


def stretches(ranges: Sequence[Range]) -> list[tuple[int, int]]:
    """Join ranges without a page between them: address and bytes. The kernel leaves a block it is only told part of."""
    joined: list[tuple[int, int]] = []
    for r in ranges:
        neighbours = joined and r.address == -(-sum(joined[-1]) // PAGE) * PAGE
        start = joined.pop()[0] if neighbours else r.address
        joined.append((start, r.address + r.nbytes - start))
    return joined


def _release(address: int) -> None:
    """Make every processor let go of the pages it touched last, which nothing can move out (mm/swap.c, lru_add_drain).

    It does so when the advice is given on it, whatever page the advice is about.
    """
    allowed = os.sched_getaffinity(0)
    try:
        for processor in range(os.cpu_count() or 1):
            with suppress(OSError):  # one that this process may not use
                os.sched_setaffinity(0, {processor})
                _call("madvise", address, PAGE, MADV_PAGEOUT)
    finally:
        os.sched_setaffinity(0, allowed)


def _resident(r: Range) -> int:
    """Count the bytes of a range that are in memory; of the last page only those that belong to it."""
    pages = -(-r.nbytes // PAGE)
    flags = (ctypes.c_ubyte * pages)()
    _call("mincore", r.address, r.nbytes, ctypes.byref(flags))
    unused = (pages * PAGE - r.nbytes) * (flags[-1] & 1)
    return sum(flag & 1 for flag in bytes(flags)) * PAGE - unused


@cache
def _libc() -> Any:
    if sys.platform != "linux":
        raise UnsupportedError(f"{sys.platform} has no way to page memory out on request; paging is measured on Linux.")
    return ctypes.CDLL(None, use_errno=True)


def _call(function: str, address: int, nbytes: int, argument: Any) -> None:
    """Call one of libc's functions on memory, or raise `UnsupportedError` in the system's words."""
    failed = getattr(_libc(), function)(ctypes.c_void_p(address), ctypes.c_size_t(nbytes), argument)
    if failed:
        words = os.strerror(ctypes.get_errno())
        what = f"{function}({argument})" if isinstance(argument, int) else function
        raise UnsupportedError(f"{what} of {nbytes} bytes failed: {words}. Paging needs Linux 5.4 or newer.")
