"""Does a run fit a card? What a simulated run took and released, done again on a device with the card's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.worker.fake.allocator import CachingAllocator, NoRoom
from bench.worker.fake.heap import Event
from bench.worker.fake.settings import AllocatorSettings


@dataclass(frozen=True, slots=True)
class Fit:
    """How a run ends on a device of so many bytes.

    `refused` is the allocation that found no room, None where all did. `retries` counts how often the allocator
    had to give cached segments back first, which costs time.
    """

    refused: Event | None
    retries: int


def replay(events: Sequence[Event], capacity: int, settings: AllocatorSettings | None = None) -> Fit:
    """Do `events` again on a device with `capacity` bytes for torch."""
    allocator = CachingAllocator(capacity, settings or AllocatorSettings())
    for event in events:
        match event.what:
            case "take":
                try:
                    allocator.malloc(event.key, event.value)
                except NoRoom:
                    return Fit(event, allocator.retries)
            case "release":
                allocator.free(event.key)
            case "rename":
                allocator.rename(event.key, event.value)
            case "empty":
                allocator.empty_cache()
            case "reset":
                allocator.reset_peaks()
    return Fit(None, allocator.retries)
