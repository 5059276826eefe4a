"""The memory of a simulated device: blocks by key, their history, and which operation made the peak. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from bench.worker.fake.allocator import CachingAllocator

What = Literal["take", "rename", "release", "empty", "reset"]


class Event(NamedTuple):
    """One thing that happened, by `during`, an operation of torch: a block was taken, renamed or released, by its key.

    Or the cache was emptied, or peaks began again. `value` is the bytes taken, or the new key; else 0.
    `moment` says where in the run.
    """

    what: What
    key: int
    value: int
    during: str
    moment: str


class Waiting(NamedTuple):
    """A block that may turn out to be one of `taken_over`, and where it was asked for."""

    key: int
    size: int
    taken_over: frozenset[int]
    during: str
    moment: str


class Heap:
    """Hands blocks of `allocator` out and takes them back, and keeps every event in its order.

    `operation` is what the device is doing, `moment` where in the run: both are noted when a peak is passed.
    """

    def __init__(self, allocator: CachingAllocator) -> None:
        self.allocator = allocator
        self.operation = ""
        self.moment = ""
        self.peak_operation = ""
        self.peak_moment = ""
        self.events: list[Event] = []
        self._next = 0
        self._sizes: dict[int, int] = {}
        self._waiting: Waiting | None = None
        self._history: list[dict[str, int | str]] | None = None
        self._busy = False
        self._late: list[int] = []

    def address(self, key: int) -> int:
        """Return where a block lies; 0 for one of no bytes."""
        self.settle()
        return self.allocator.address(key)

    def take(self, size: int, taken_over: Sequence[int] = ()) -> int:
        """Hand out a block of `size` bytes and return its key.

        With `taken_over` it waits: if one of these blocks is what is released next, it becomes the new block.
        """
        self.settle()
        self._next += 1
        if taken_over:
            self._waiting = Waiting(self._next, size, frozenset(taken_over), self.operation, self.moment)
        else:
            self._take(self._next, size)
        return self._next

    def release(self, key: int) -> None:
        """Take a block back. Called by the garbage collector in the middle of another call, it waits for its end."""
        if self._busy:
            self._late.append(key)
            return
        if self._waiting and key in self._waiting.taken_over:
            new, self._waiting = self._waiting.key, None
            with self._undisturbed():
                self.allocator.rename(key, new)
                self._sizes[new] = self._sizes.pop(key)
                self._happened("rename", key, new)
            return
        self.settle()
        with self._undisturbed():
            self._note("free_requested", key)
            del self._sizes[key]
            self.allocator.free(key)
            self._happened("release", key)

    def scratch(self, sizes: Sequence[int]) -> None:
        """Hand out blocks all at once and take them back."""
        keys = [self.take(size) for size in sizes]
        for key in keys:
            self.release(key)

    def empty_cache(self) -> None:
        """Give cached segments back to the device."""
        self.settle()
        self.allocator.empty_cache()
        self._happened("empty")

    def reset_peaks(self) -> None:
        """Let peaks start again from what is held now."""
        self.settle()
        self.allocator.reset_peaks()
        self.peak_operation, self.peak_moment = "", self.moment
        self._happened("reset")

    def settle(self) -> None:
        """Hand out what still waited for a block to take over, in the name of the operation that asked for it."""
        if self._waiting:
            waiting, self._waiting = self._waiting, None
            now = self.operation, self.moment
            self.operation, self.moment = waiting.during, waiting.moment
            self._take(waiting.key, waiting.size)
            self.operation, self.moment = now

    def _take(self, key: int, size: int) -> None:
        with self._undisturbed():
            before = self.allocator.peak_allocated
            self.allocator.malloc(key, size)
            self._sizes[key] = size
            self._happened("take", key, size)
            self._note("alloc", key)
            if self.allocator.peak_allocated > before:
                self.peak_operation, self.peak_moment = self.operation, self.moment

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Let nothing be released within the block: the collector may run at any moment."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        while self._late and not self._busy:
            self.release(self._late.pop(0))

    def record_history(self, *, wanted: bool) -> None:
        """Start a new history of blocks handed out and taken back, or stop and forget it."""
        self._history = [] if wanted else None

    def history(self) -> list[dict[str, int | str]]:
        """Return the history, oldest first, in the words of torch.cuda.memory._snapshot; its times count entries."""
        self.settle()
        return list(self._history or ())

    def _happened(self, what: What, key: int = 0, value: int = 0) -> None:
        self.events.append(Event(what, key, value, self.operation, self.moment))

    def _note(self, action: str, key: int) -> None:
        if self._history is not None and (address := self.allocator.address(key)):
            number = len(self._history)
            self._history.append({"action": action, "addr": address, "size": self._sizes[key], "time_us": number})
